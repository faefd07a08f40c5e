-- What people say against, or beside, the score.

-- At most one of a customer that has not ended.
create table overrides (
    id text primary key,
    customer_id text not null references customers (id),
    -- set, at_most, at_least
    how text not null,
    -- the limit is a band or a score (decimal text); the other is null
    band text,
    score text,
    author text not null,
    reason text not null,
    since bigint not null,
    until bigint not null,
    ended_at bigint,
    -- expired, ended by …, replaced by …
    ended_why text
);
create unique index overrides_open on overrides (customer_id) where ended_at is null;
create index overrides_of on overrides (customer_id, since);

-- What stands beside a fact of kind `pulse`: whose it is, when and how much, the fact knows.
create table pulses (
    source text not null,
    source_id text not null,
    author text not null,
    note text not null,
    primary key (source, source_id)
);
create index facts_of_pulses on facts (customer_id, at) where kind = 'pulse';

-- Pulse and band part by two steps; at most one of a customer that is open.
create table disagreements (
    id text primary key,
    customer_id text not null references customers (id),
    -- who is asked: the customer's owner then, '' for the team
    owner text not null,
    band text not null,
    -- 1 to 5
    pulse bigint not null,
    pulse_at bigint not null,
    pulse_source text not null,
    pulse_source_id text not null,
    pulse_author text not null,
    opened_at bigint not null,
    asked_at bigint,
    closed_at bigint,
    answer text,
    -- the score, the pulse; '' where nobody said
    was_right text,
    -- who answered; '' where it closed by itself
    author text
);
create unique index disagreements_open on disagreements (customer_id) where closed_at is null;
create index disagreements_of on disagreements (customer_id, opened_at);
