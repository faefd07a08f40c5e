-- What facts said before they were mended, so that the past can be read as it was known.

-- since when it says what it says, where it once said something else; 0 where it never did
alter table facts add column mended_at bigint not null default 0;
create index facts_mended on facts (customer_id) where mended_at > 0;

-- Whose it is, the fact itself knows.
create table former_facts (
    fact_id text not null,
    kind text not null,
    label text not null,
    at bigint not null,
    -- it was known to say so from then on, until it was mended
    known_at bigint not null,
    until bigint not null,
    day bigint not null,
    value bigint not null,
    primary key (fact_id, until)
);
