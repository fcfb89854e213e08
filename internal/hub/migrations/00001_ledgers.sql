-- Every table begins with the cluster, by which a distributed engine divides it: an append is
-- a transaction of one cluster's rows. Moments are seconds since the epoch. Texts are as in a
-- block's Parquet file: a byte that text cannot hold is U+001A and two hex digits.

-- +goose Up

-- The clusters that may append, and how far the chain of each has come.
CREATE TABLE clusters (
    cluster       uuid   PRIMARY KEY,            -- the UID of the namespace kube-system
    name          text   NOT NULL,
    enrolled      bigint NOT NULL,
    sequence      bigint NOT NULL DEFAULT 0,     -- of the last block; 0: there is none
    digest        bytea  NOT NULL DEFAULT '',    -- that the next block names
    counted       bigint NOT NULL DEFAULT 0,     -- of the last block whose commit is complete
    part          bigint NOT NULL DEFAULT 0,     -- which part of its commit the last block is,
    parts         bigint NOT NULL DEFAULT 1,     -- of how many
    written       bigint NOT NULL DEFAULT 0,     -- when it was, by its writer's clock
    received      bigint NOT NULL DEFAULT 0,     -- when it was, by the hub's
    next_subject  bigint NOT NULL DEFAULT 1,
    fork_sequence bigint NOT NULL DEFAULT 0,     -- of the last block that was refused as a fork
    fork_digest   bytea  NOT NULL DEFAULT '',
    fork_seen     bigint NOT NULL DEFAULT 0
);

-- What proves that somebody is a cluster: the SHA-256 of tokens.
CREATE TABLE credentials (
    cluster uuid   NOT NULL,
    hash    bytea  NOT NULL,
    created bigint NOT NULL,
    expires bigint NOT NULL,                     -- 0: never
    PRIMARY KEY (cluster, hash)
);

-- The blocks, byte for byte as they came.
CREATE TABLE blocks (
    cluster  uuid   NOT NULL,
    sequence bigint NOT NULL,                    -- the last one that it covers
    first    bigint NOT NULL,                    -- the first one; sequence, for an entry
    previous bytea  NOT NULL,                    -- the digest that it names; empty: none
    digest   bytea  NOT NULL,                    -- its own
    link     bytea  NOT NULL,                    -- that the next block names
    written  bigint NOT NULL,
    received bigint NOT NULL,
    spec     bytea  NOT NULL,
    PRIMARY KEY (cluster, sequence)
);

-- Who and what segments are of: each once in a cluster, numbered in the order in which they came.
CREATE TABLE subjects (
    cluster              uuid   NOT NULL,
    subject              bigint NOT NULL,
    digest               bytea  NOT NULL,
    resource_type        text   NOT NULL,
    namespace            text   NOT NULL,
    namespace_uid        text   NOT NULL,
    deployment           text   NOT NULL,
    resource_api_version text   NOT NULL,
    resource_kind        text   NOT NULL,
    resource_name        text   NOT NULL,
    resource_uid         text   NOT NULL,
    instance_api_version text   NOT NULL,
    instance_kind        text   NOT NULL,
    instance_name        text   NOT NULL,
    instance_uid         text   NOT NULL,
    container            text   NOT NULL,
    region               text   NOT NULL,
    bundle               text   NOT NULL,
    attributes           text   NOT NULL,        -- JSON
    PRIMARY KEY (cluster, subject),
    UNIQUE (cluster, digest)
);

-- The changes of segments, in the order of the journal. Those of a commit that is not
-- complete have a sequence after the cluster's counted.
CREATE TABLE segments (
    cluster        uuid   NOT NULL,
    sequence       bigint NOT NULL,
    ordinal        bigint NOT NULL,
    kind           text   NOT NULL,              -- Put, Void, Less, More
    corrects       bigint NOT NULL,              -- the start of the interval; 0: none
    subject        bigint NOT NULL,
    meter          text   NOT NULL,
    dimension      text   NOT NULL,
    unit           text   NOT NULL,
    level          bigint NOT NULL,
    starts         bigint NOT NULL,
    start_slack    bigint NOT NULL,
    start_evidence text   NOT NULL,
    ends           bigint NOT NULL,
    end_slack      bigint NOT NULL,
    end_evidence   text   NOT NULL,              -- empty: it goes on
    PRIMARY KEY (cluster, sequence, ordinal)
);

-- The intervals that the cluster closed for good.
CREATE TABLE seals (
    cluster           uuid    NOT NULL,
    sequence          bigint  NOT NULL,
    ordinal           bigint  NOT NULL,
    starts            bigint  NOT NULL,
    ends              bigint  NOT NULL,
    digest            bytea   NOT NULL,
    partial           boolean NOT NULL,
    limit_bytes       bigint  NOT NULL,
    limit_deployments bigint  NOT NULL,
    PRIMARY KEY (cluster, sequence, ordinal)
);

-- The stretches of time that a meter did not see as they happened.
CREATE TABLE coverage (
    cluster  uuid   NOT NULL,
    sequence bigint NOT NULL,
    ordinal  bigint NOT NULL,
    meter    text   NOT NULL,
    starts   bigint NOT NULL,
    ends     bigint NOT NULL,
    coverage text   NOT NULL,
    PRIMARY KEY (cluster, sequence, ordinal)
);

-- +goose Down
DROP TABLE coverage, seals, segments, subjects, blocks, credentials, clusters;
