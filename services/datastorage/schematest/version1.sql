-- pg_dump of a database that a program of schema version 1 made, with 20 events.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
CREATE TABLE public.audit_events (
    id_time timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    version text NOT NULL,
    event_type text NOT NULL,
    event_timestamp timestamp with time zone NOT NULL,
    event_category text NOT NULL,
    event_action text NOT NULL,
    event_outcome text NOT NULL,
    correlation_id text NOT NULL,
    event_data jsonb NOT NULL,
    actor_type text,
    actor_id text,
    actor_ip text,
    resource_type text,
    resource_id text,
    namespace text,
    cluster_id text,
    severity text,
    duration_us bigint,
    error_code text,
    error_message text,
    parent_event_id uuid,
    retention_days integer NOT NULL,
    is_sensitive boolean NOT NULL,
    producer_id text,
    producer_epoch bigint,
    producer_seq bigint,
    content_digest bytea NOT NULL,
    recorded_by text,
    received_at timestamp with time zone NOT NULL
)
PARTITION BY RANGE (id_time);
SET default_table_access_method = heap;
CREATE TABLE public.audit_events_default (
    id_time timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    version text NOT NULL,
    event_type text NOT NULL,
    event_timestamp timestamp with time zone NOT NULL,
    event_category text NOT NULL,
    event_action text NOT NULL,
    event_outcome text NOT NULL,
    correlation_id text NOT NULL,
    event_data jsonb NOT NULL,
    actor_type text,
    actor_id text,
    actor_ip text,
    resource_type text,
    resource_id text,
    namespace text,
    cluster_id text,
    severity text,
    duration_us bigint,
    error_code text,
    error_message text,
    parent_event_id uuid,
    retention_days integer NOT NULL,
    is_sensitive boolean NOT NULL,
    producer_id text,
    producer_epoch bigint,
    producer_seq bigint,
    content_digest bytea NOT NULL,
    recorded_by text,
    received_at timestamp with time zone NOT NULL
);
CREATE TABLE public.audit_events_untimed (
    id_time timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    version text NOT NULL,
    event_type text NOT NULL,
    event_timestamp timestamp with time zone NOT NULL,
    event_category text NOT NULL,
    event_action text NOT NULL,
    event_outcome text NOT NULL,
    correlation_id text NOT NULL,
    event_data jsonb NOT NULL,
    actor_type text,
    actor_id text,
    actor_ip text,
    resource_type text,
    resource_id text,
    namespace text,
    cluster_id text,
    severity text,
    duration_us bigint,
    error_code text,
    error_message text,
    parent_event_id uuid,
    retention_days integer NOT NULL,
    is_sensitive boolean NOT NULL,
    producer_id text,
    producer_epoch bigint,
    producer_seq bigint,
    content_digest bytea NOT NULL,
    recorded_by text,
    received_at timestamp with time zone NOT NULL
);
CREATE TABLE public.audit_events_y2026m10 (
    id_time timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    version text NOT NULL,
    event_type text NOT NULL,
    event_timestamp timestamp with time zone NOT NULL,
    event_category text NOT NULL,
    event_action text NOT NULL,
    event_outcome text NOT NULL,
    correlation_id text NOT NULL,
    event_data jsonb NOT NULL,
    actor_type text,
    actor_id text,
    actor_ip text,
    resource_type text,
    resource_id text,
    namespace text,
    cluster_id text,
    severity text,
    duration_us bigint,
    error_code text,
    error_message text,
    parent_event_id uuid,
    retention_days integer NOT NULL,
    is_sensitive boolean NOT NULL,
    producer_id text,
    producer_epoch bigint,
    producer_seq bigint,
    content_digest bytea NOT NULL,
    recorded_by text,
    received_at timestamp with time zone NOT NULL
);
CREATE TABLE public.audit_events_y2026m11 (
    id_time timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    version text NOT NULL,
    event_type text NOT NULL,
    event_timestamp timestamp with time zone NOT NULL,
    event_category text NOT NULL,
    event_action text NOT NULL,
    event_outcome text NOT NULL,
    correlation_id text NOT NULL,
    event_data jsonb NOT NULL,
    actor_type text,
    actor_id text,
    actor_ip text,
    resource_type text,
    resource_id text,
    namespace text,
    cluster_id text,
    severity text,
    duration_us bigint,
    error_code text,
    error_message text,
    parent_event_id uuid,
    retention_days integer NOT NULL,
    is_sensitive boolean NOT NULL,
    producer_id text,
    producer_epoch bigint,
    producer_seq bigint,
    content_digest bytea NOT NULL,
    recorded_by text,
    received_at timestamp with time zone NOT NULL
);
CREATE TABLE public.audit_events_y2026m12 (
    id_time timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    version text NOT NULL,
    event_type text NOT NULL,
    event_timestamp timestamp with time zone NOT NULL,
    event_category text NOT NULL,
    event_action text NOT NULL,
    event_outcome text NOT NULL,
    correlation_id text NOT NULL,
    event_data jsonb NOT NULL,
    actor_type text,
    actor_id text,
    actor_ip text,
    resource_type text,
    resource_id text,
    namespace text,
    cluster_id text,
    severity text,
    duration_us bigint,
    error_code text,
    error_message text,
    parent_event_id uuid,
    retention_days integer NOT NULL,
    is_sensitive boolean NOT NULL,
    producer_id text,
    producer_epoch bigint,
    producer_seq bigint,
    content_digest bytea NOT NULL,
    recorded_by text,
    received_at timestamp with time zone NOT NULL
);
CREATE TABLE public.audit_events_y2027m01 (
    id_time timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    version text NOT NULL,
    event_type text NOT NULL,
    event_timestamp timestamp with time zone NOT NULL,
    event_category text NOT NULL,
    event_action text NOT NULL,
    event_outcome text NOT NULL,
    correlation_id text NOT NULL,
    event_data jsonb NOT NULL,
    actor_type text,
    actor_id text,
    actor_ip text,
    resource_type text,
    resource_id text,
    namespace text,
    cluster_id text,
    severity text,
    duration_us bigint,
    error_code text,
    error_message text,
    parent_event_id uuid,
    retention_days integer NOT NULL,
    is_sensitive boolean NOT NULL,
    producer_id text,
    producer_epoch bigint,
    producer_seq bigint,
    content_digest bytea NOT NULL,
    recorded_by text,
    received_at timestamp with time zone NOT NULL
);
CREATE TABLE public.audit_events_y2027m02 (
    id_time timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    version text NOT NULL,
    event_type text NOT NULL,
    event_timestamp timestamp with time zone NOT NULL,
    event_category text NOT NULL,
    event_action text NOT NULL,
    event_outcome text NOT NULL,
    correlation_id text NOT NULL,
    event_data jsonb NOT NULL,
    actor_type text,
    actor_id text,
    actor_ip text,
    resource_type text,
    resource_id text,
    namespace text,
    cluster_id text,
    severity text,
    duration_us bigint,
    error_code text,
    error_message text,
    parent_event_id uuid,
    retention_days integer NOT NULL,
    is_sensitive boolean NOT NULL,
    producer_id text,
    producer_epoch bigint,
    producer_seq bigint,
    content_digest bytea NOT NULL,
    recorded_by text,
    received_at timestamp with time zone NOT NULL
);
CREATE TABLE public.schema_lock (
    lock_id bigint NOT NULL,
    locked boolean DEFAULT false NOT NULL,
    locked_at timestamp with time zone,
    locked_by text,
    lease_expires_at timestamp with time zone,
    updated_at timestamp with time zone
);
CREATE TABLE public.schema_version (
    id integer NOT NULL,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp timestamp without time zone DEFAULT now() NOT NULL
);
ALTER TABLE public.schema_version ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.schema_version_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY public.audit_events ATTACH PARTITION public.audit_events_default DEFAULT;
ALTER TABLE ONLY public.audit_events ATTACH PARTITION public.audit_events_untimed FOR VALUES FROM (MINVALUE) TO ('1970-01-01 00:00:00+00');
ALTER TABLE ONLY public.audit_events ATTACH PARTITION public.audit_events_y2026m10 FOR VALUES FROM ('2026-10-01 00:00:00+00') TO ('2026-11-01 00:00:00+00');
ALTER TABLE ONLY public.audit_events ATTACH PARTITION public.audit_events_y2026m11 FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00');
ALTER TABLE ONLY public.audit_events ATTACH PARTITION public.audit_events_y2026m12 FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');
ALTER TABLE ONLY public.audit_events ATTACH PARTITION public.audit_events_y2027m01 FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00');
ALTER TABLE ONLY public.audit_events ATTACH PARTITION public.audit_events_y2027m02 FOR VALUES FROM ('2027-02-01 00:00:00+00') TO ('2027-03-01 00:00:00+00');
INSERT INTO public.audit_events_default VALUES ('2025-02-13 15:50:20.416+00', '01950001-0000-7000-8000-000000000001', '1.0', 'gateway.signal.received', '2026-11-27 01:00:00.123456+00', 'gateway', 'received', 'failure', 'rr-1', '{"a": [1, 2, {"b": null}], "n": 1000, "z": 0}', NULL, 'alice', '10.0.0.1', NULL, NULL, 'shop', NULL, 'critical', 1500, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\x820566c89d135c318f5aada40e466b649ce67f938dcc0c0d6d48f00f15a69421', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_default VALUES ('2025-02-13 15:54:42.56+00', '01950005-0000-7000-8000-000000000001', '1.0', 'gateway.signal.received', '2026-11-27 00:00:00.123456+00', 'gateway', 'received', 'pending', 'rr-1', '{"k": 1.5}', NULL, 'alice', '10.0.0.1', NULL, NULL, 'shop', NULL, 'critical', 1500, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\x764e25f3b29e2dac1abc9654aed2d267692f8ce2f56667860bb5c4488a022aa6', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_default VALUES ('2025-02-13 15:59:04.704+00', '01950009-0000-7000-8000-000000000001', '1.0', 'gateway.signal.received', '2026-11-27 04:00:00.123456+00', 'gateway', 'received', 'success', 'rr-1', '{}', NULL, 'alice', '10.0.0.1', NULL, NULL, 'shop', NULL, 'critical', 1500, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\xb4f330aef7833fb333e7533826f0f9260e5fe74724230d82ef7fd24f71140ddd', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_default VALUES ('2025-02-13 16:03:26.848+00', '0195000d-0000-7000-8000-000000000001', '1.0', 'gateway.signal.received', '2026-11-27 03:00:00.123456+00', 'gateway', 'received', 'failure', 'rr-1', '{"big": 123456789012345678901234567890, "small": 0.00000000000000000001}', NULL, 'alice', '10.0.0.1', NULL, NULL, 'shop', NULL, 'critical', 1500, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\xb97fd6708d68e196701c3e807afea9b87519b35a8697ed194dbe71525abe0476', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_default VALUES ('2025-02-13 16:07:48.992+00', '01950011-0000-7000-8000-000000000001', '1.0', 'gateway.signal.received', '2026-11-27 02:00:00.123456+00', 'gateway', 'received', 'pending', 'rr-1', '{"text": "tab\tline\nquote\"back\\ é   😀"}', NULL, 'alice', '10.0.0.1', NULL, NULL, 'shop', NULL, 'critical', 1500, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\x1fd40dab2d9d6e99e0bc3637f93edf056f3071bde0793b5a97bca681638dee4b', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_untimed VALUES ('-infinity', '1fedf440-c8b3-428c-a209-5f7e5882d563', '1.0', 'gateway.signal.received', '2026-11-27 04:00:00.123456+00', 'gateway', 'received', 'pending', 'rr-2', '{}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, 'E1', 'broken', NULL, 2555, false, 'p', 1, 14, '\x9ca2c7d7d77cc7450db95df70b9e05e52a566446d762d1fc9a8d8fa2175ed240', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_untimed VALUES ('-infinity', '29bc84b7-f27e-4df1-bdf4-a7b347a47da0', '1.0', 'gateway.signal.received', '2026-11-27 01:00:00.123456+00', 'gateway', 'received', 'success', 'rr-2', '{"a": [1, 2, {"b": null}], "n": 1000, "z": 0}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, 'E1', 'broken', NULL, 2555, false, 'p', 1, 6, '\x1460e1de87d2616ba4d73f2a530e9c5bf09ac35b85cab6908a2c51870ad5f4d5', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_untimed VALUES ('-infinity', '527c4a33-5a6e-473f-81cf-786de92ee0bd', '1.0', 'gateway.signal.received', '2026-11-27 00:00:00.123456+00', 'gateway', 'received', 'failure', 'rr-2', '{"k": 1.5}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, 'E1', 'broken', NULL, 2555, false, 'p', 1, 10, '\x35b3a3138232dbe95866dd68a14a919d5a36e4e3d1d8cebb1b1131db6649eb2d', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_untimed VALUES ('-infinity', '6a7bff85-ff0b-4928-bfb3-c260022881d0', '1.0', 'gateway.signal.received', '2026-11-27 02:00:00.123456+00', 'gateway', 'received', 'pending', 'rr-2', '{"text": "tab\tline\nquote\"back\\ é   😀"}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, 'E1', 'broken', NULL, 2555, false, 'p', 1, 2, '\x79f59504314eec32f81bb51e6ebbd0bb9d3ecfc6ec068a8c22231af547da8be0', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_untimed VALUES ('-infinity', 'd6791685-ac74-4d09-8136-d9ae608fa153', '1.0', 'gateway.signal.received', '2026-11-27 03:00:00.123456+00', 'gateway', 'received', 'success', 'rr-2', '{"big": 123456789012345678901234567890, "small": 0.00000000000000000001}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, 'E1', 'broken', NULL, 2555, false, 'p', 1, 18, '\x5acea2a1356d97408a5c7b75b01bc8630e724cb7c05f86df3e03b7814acb4668', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-8071-600b815ac6fd', '1.0', 'gateway.signal.received', '2026-11-27 04:00:00.123456+00', 'gateway', 'received', 'failure', 'rr-0', '{}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\x7acbdef317136b8ae3d57574df78824df4ed7becd0d48e07974c565df5dda5e6', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-84eb-6bcfd9de95ef', '1.0', 'gateway.signal.received', '2026-11-27 01:00:00.123456+00', 'gateway', 'received', 'failure', 'rr-0', '{"a": [1, 2, {"b": null}], "n": 1000, "z": 0}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\x92bc27c3b4cbbde9ee63e7cff510bd4ee51636d28ce978b983465fb867565784', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-87db-eb6b06489b85', '1.0', 'gateway.signal.received', '2026-11-27 00:00:00.123456+00', 'gateway', 'received', 'success', 'rr-3', '{"k": 1.5}', NULL, NULL, NULL, 'Pod', 'cart-0', 'shop', 'eu', 'critical', NULL, NULL, NULL, 'ef6896b6-266b-4188-8d46-1406889a508e', 30, true, NULL, NULL, NULL, '\x7c6584c36056d7404cd5353ae0ac198e6d49391cc69978507e44e480f4331f5d', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-8f55-aa99d85d60c9', '1.0', 'gateway.signal.received', '2026-11-27 01:00:00.123456+00', 'gateway', 'received', 'pending', 'rr-3', '{"a": [1, 2, {"b": null}], "n": 1000, "z": 0}', NULL, NULL, NULL, 'Pod', 'cart-0', 'shop', 'eu', 'critical', NULL, NULL, NULL, 'a9b9ad97-fe5d-481c-b60e-63e7143fa48d', 30, true, NULL, NULL, NULL, '\xd3a767692be8c0461cb3e9d70155f8783181725a7fca62a585c8121d5dd7a078', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-99d6-bed4f0df02ea', '1.0', 'gateway.signal.received', '2026-11-27 00:00:00.123456+00', 'gateway', 'received', 'success', 'rr-0', '{"k": 1.5}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\x133db8acc0db359978581727e329f05ad631f680918215d7d387d7259f9da871', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-9c14-528ef0d96633', '1.0', 'gateway.signal.received', '2026-11-27 03:00:00.123456+00', 'gateway', 'received', 'success', 'rr-3', '{"big": 123456789012345678901234567890, "small": 0.00000000000000000001}', NULL, NULL, NULL, 'Pod', 'cart-0', 'shop', 'eu', 'critical', NULL, NULL, NULL, '5c326006-8010-41d9-8eb1-ec7228987cbe', 30, true, NULL, NULL, NULL, '\xbea3c09ce900ff353d6547c4eda1af6fb3b97b75c7a6c80e7fafb0dc4e0ea170', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-a858-584969e9323b', '1.0', 'gateway.signal.received', '2026-11-27 02:00:00.123456+00', 'gateway', 'received', 'failure', 'rr-3', '{"text": "tab\tline\nquote\"back\\ é   😀"}', NULL, NULL, NULL, 'Pod', 'cart-0', 'shop', 'eu', 'critical', NULL, NULL, NULL, 'eb1e0d7f-f230-460d-8c80-0ec0af6d9ec5', 30, true, NULL, NULL, NULL, '\x11f29114981f55fb9d04df035d74102ade1d93d25dbb7a6012bf22775d7b12ce', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-b1fa-f1597165c249', '1.0', 'gateway.signal.received', '2026-11-27 02:00:00.123456+00', 'gateway', 'received', 'success', 'rr-0', '{"text": "tab\tline\nquote\"back\\ é   😀"}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\xa31e2696bc61907e6cb669faefec62c4bbd4500e69dcdef25a59930ebdca27e3', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-b47b-1115b77eb1f7', '1.0', 'gateway.signal.received', '2026-11-27 04:00:00.123456+00', 'gateway', 'received', 'failure', 'rr-3', '{}', NULL, NULL, NULL, 'Pod', 'cart-0', 'shop', 'eu', 'critical', NULL, NULL, NULL, 'b27e2b79-f252-42fb-812c-afd69adab9f4', 30, true, NULL, NULL, NULL, '\x7db916939052923711f9d526ae78eb01a6f971e96b1a556149b5b766bd8a4c65', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.audit_events_y2026m11 VALUES ('2026-11-27 05:24:07.981+00', '01a21b76-00ad-7f26-bfc6-97dcfa390281', '1.0', 'gateway.signal.received', '2026-11-27 03:00:00.123456+00', 'gateway', 'received', 'pending', 'rr-0', '{"big": 123456789012345678901234567890, "small": 0.00000000000000000001}', NULL, NULL, NULL, NULL, NULL, 'shop', NULL, 'low', NULL, NULL, NULL, NULL, 2555, false, NULL, NULL, NULL, '\x5745fbf7633f7adebc87194cb5df5aac03b250c3a63ee25da0a01d40225408e8', NULL, '2026-11-27 05:24:08.000184+00');
INSERT INTO public.schema_lock VALUES (4097083626, false, NULL, NULL, NULL, '2026-11-27 05:24:05.566196+00');
INSERT INTO public.schema_version VALUES (1, 0, true, '2026-11-27 05:24:05.191229');
INSERT INTO public.schema_version VALUES (2, 1, true, '2026-11-27 05:24:05.364752');
SELECT pg_catalog.setval('public.schema_version_id_seq', 2, true);
ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT audit_events_pkey PRIMARY KEY (id_time, event_id);
ALTER TABLE ONLY public.audit_events_default
    ADD CONSTRAINT audit_events_default_pkey PRIMARY KEY (id_time, event_id);
ALTER TABLE ONLY public.audit_events_untimed
    ADD CONSTRAINT audit_events_untimed_pkey PRIMARY KEY (id_time, event_id);
ALTER TABLE ONLY public.audit_events_y2026m10
    ADD CONSTRAINT audit_events_y2026m10_pkey PRIMARY KEY (id_time, event_id);
ALTER TABLE ONLY public.audit_events_y2026m11
    ADD CONSTRAINT audit_events_y2026m11_pkey PRIMARY KEY (id_time, event_id);
ALTER TABLE ONLY public.audit_events_y2026m12
    ADD CONSTRAINT audit_events_y2026m12_pkey PRIMARY KEY (id_time, event_id);
ALTER TABLE ONLY public.audit_events_y2027m01
    ADD CONSTRAINT audit_events_y2027m01_pkey PRIMARY KEY (id_time, event_id);
ALTER TABLE ONLY public.audit_events_y2027m02
    ADD CONSTRAINT audit_events_y2027m02_pkey PRIMARY KEY (id_time, event_id);
ALTER TABLE ONLY public.schema_lock
    ADD CONSTRAINT schema_lock_pkey PRIMARY KEY (lock_id);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (id);
CREATE INDEX audit_events_by_correlation ON ONLY public.audit_events USING btree (correlation_id, event_timestamp, event_id);
CREATE INDEX audit_events_by_time ON ONLY public.audit_events USING btree (event_timestamp, event_id);
CREATE INDEX audit_events_default_correlation_id_event_timestamp_event_i_idx ON public.audit_events_default USING btree (correlation_id, event_timestamp, event_id);
CREATE INDEX audit_events_default_event_timestamp_event_id_idx ON public.audit_events_default USING btree (event_timestamp, event_id);
CREATE INDEX audit_events_untimed_correlation_id_event_timestamp_event_i_idx ON public.audit_events_untimed USING btree (correlation_id, event_timestamp, event_id);
CREATE INDEX audit_events_untimed_event_timestamp_event_id_idx ON public.audit_events_untimed USING btree (event_timestamp, event_id);
CREATE INDEX audit_events_y2026m10_correlation_id_event_timestamp_event__idx ON public.audit_events_y2026m10 USING btree (correlation_id, event_timestamp, event_id);
CREATE INDEX audit_events_y2026m10_event_timestamp_event_id_idx ON public.audit_events_y2026m10 USING btree (event_timestamp, event_id);
CREATE INDEX audit_events_y2026m11_correlation_id_event_timestamp_event__idx ON public.audit_events_y2026m11 USING btree (correlation_id, event_timestamp, event_id);
CREATE INDEX audit_events_y2026m11_event_timestamp_event_id_idx ON public.audit_events_y2026m11 USING btree (event_timestamp, event_id);
CREATE INDEX audit_events_y2026m12_correlation_id_event_timestamp_event__idx ON public.audit_events_y2026m12 USING btree (correlation_id, event_timestamp, event_id);
CREATE INDEX audit_events_y2026m12_event_timestamp_event_id_idx ON public.audit_events_y2026m12 USING btree (event_timestamp, event_id);
CREATE INDEX audit_events_y2027m01_correlation_id_event_timestamp_event__idx ON public.audit_events_y2027m01 USING btree (correlation_id, event_timestamp, event_id);
CREATE INDEX audit_events_y2027m01_event_timestamp_event_id_idx ON public.audit_events_y2027m01 USING btree (event_timestamp, event_id);
CREATE INDEX audit_events_y2027m02_correlation_id_event_timestamp_event__idx ON public.audit_events_y2027m02 USING btree (correlation_id, event_timestamp, event_id);
CREATE INDEX audit_events_y2027m02_event_timestamp_event_id_idx ON public.audit_events_y2027m02 USING btree (event_timestamp, event_id);
ALTER INDEX public.audit_events_by_correlation ATTACH PARTITION public.audit_events_default_correlation_id_event_timestamp_event_i_idx;
ALTER INDEX public.audit_events_by_time ATTACH PARTITION public.audit_events_default_event_timestamp_event_id_idx;
ALTER INDEX public.audit_events_pkey ATTACH PARTITION public.audit_events_default_pkey;
ALTER INDEX public.audit_events_by_correlation ATTACH PARTITION public.audit_events_untimed_correlation_id_event_timestamp_event_i_idx;
ALTER INDEX public.audit_events_by_time ATTACH PARTITION public.audit_events_untimed_event_timestamp_event_id_idx;
ALTER INDEX public.audit_events_pkey ATTACH PARTITION public.audit_events_untimed_pkey;
ALTER INDEX public.audit_events_by_correlation ATTACH PARTITION public.audit_events_y2026m10_correlation_id_event_timestamp_event__idx;
ALTER INDEX public.audit_events_by_time ATTACH PARTITION public.audit_events_y2026m10_event_timestamp_event_id_idx;
ALTER INDEX public.audit_events_pkey ATTACH PARTITION public.audit_events_y2026m10_pkey;
ALTER INDEX public.audit_events_by_correlation ATTACH PARTITION public.audit_events_y2026m11_correlation_id_event_timestamp_event__idx;
ALTER INDEX public.audit_events_by_time ATTACH PARTITION public.audit_events_y2026m11_event_timestamp_event_id_idx;
ALTER INDEX public.audit_events_pkey ATTACH PARTITION public.audit_events_y2026m11_pkey;
ALTER INDEX public.audit_events_by_correlation ATTACH PARTITION public.audit_events_y2026m12_correlation_id_event_timestamp_event__idx;
ALTER INDEX public.audit_events_by_time ATTACH PARTITION public.audit_events_y2026m12_event_timestamp_event_id_idx;
ALTER INDEX public.audit_events_pkey ATTACH PARTITION public.audit_events_y2026m12_pkey;
ALTER INDEX public.audit_events_by_correlation ATTACH PARTITION public.audit_events_y2027m01_correlation_id_event_timestamp_event__idx;
ALTER INDEX public.audit_events_by_time ATTACH PARTITION public.audit_events_y2027m01_event_timestamp_event_id_idx;
ALTER INDEX public.audit_events_pkey ATTACH PARTITION public.audit_events_y2027m01_pkey;
ALTER INDEX public.audit_events_by_correlation ATTACH PARTITION public.audit_events_y2027m02_correlation_id_event_timestamp_event__idx;
ALTER INDEX public.audit_events_by_time ATTACH PARTITION public.audit_events_y2027m02_event_timestamp_event_id_idx;
ALTER INDEX public.audit_events_pkey ATTACH PARTITION public.audit_events_y2027m02_pkey;
