-- Scorecards that counted, and those that were tried first.

-- Every scorecard that ever counted, numbered from 1. Which of them counts now, the switch `active_card` says.
create table card_versions (
    number bigint primary key,
    -- the short hash of what it says, by which scores name it
    version text not null unique,
    name text not null,
    -- JSON {file: text}: one file, or those of a folder of cards
    files text not null,
    since bigint not null,
    author text not null,
    -- the number of the version that counted before it; null for the first
    replaced bigint
);

-- What a scorecard would have done, by the hash of exactly its text.
create table previews (
    hash text primary key,
    at bigint not null,
    days bigint not null,
    summary text not null
);

-- The colours that a business gave its customers before us, or beside us.
create table given_colours (
    customer_id text primary key references customers (id),
    colour text not null,
    at bigint not null,
    -- the file's name, or the CRM's
    source text not null
);
