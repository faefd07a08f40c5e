-- What people decide on pages and by signed links, and what an address wants to read.

-- What an address has said against mails; a salted hash, so that it outlives a re-import and the person's erasure.
create table preferences (
    address_hash text not null,
    -- marketing, service, or a topic that templates name; '' for every mail that is not transactional
    topic text not null,
    -- null for good
    until bigint,
    at bigint not null,
    primary key (address_hash, topic)
);

-- Signed links that were used: each works once.
create table deeds (
    token_hash text primary key,
    deed text not null,
    subject text not null,
    by text not null,
    at bigint not null
);

-- Customers whom somebody keeps out of the morning message until a moment.
create table snoozes (
    customer_id text primary key references customers (id),
    until bigint not null,
    by text not null,
    at bigint not null
);
