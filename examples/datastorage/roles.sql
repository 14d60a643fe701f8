CREATE ROLE kubernaut_owner NOLOGIN;
CREATE ROLE kubernaut_migrate LOGIN PASSWORD 'change-me' IN ROLE kubernaut_owner;
CREATE ROLE kubernaut_serve LOGIN PASSWORD 'change-me-too' IN ROLE pg_read_all_stats;
CREATE DATABASE kubernaut OWNER kubernaut_owner;
