CREATE ROLE kubernaut_owner LOGIN PASSWORD 'change-me';
CREATE ROLE kubernaut_serve LOGIN PASSWORD 'change-me-too';
CREATE DATABASE kubernaut OWNER kubernaut_owner;
