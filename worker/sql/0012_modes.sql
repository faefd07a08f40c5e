-- Whose tag waits, what people changed of ours in the CRM, and what lies in the pools.

-- Who was first seen while nothing left: that customer's tag is written when the band changes, or in a backfill that
-- a person releases, since automations in the CRM may hang on it.
create table backfill (
    customer_id text primary key references customers (id),
    -- null until it is released; then when its turn comes
    due_at bigint
);

-- What somebody put in a place of ours: left alone until the band changes or a person says so.
create table edits (
    source text not null,
    contact_id text not null,
    -- 'field' or 'tag'
    what text not null,
    -- the field's id; '' for the colour, which is one place whatever its tag
    name text not null,
    -- what we had written, and what was found instead: a field's value, a tag's id
    ours text not null,
    theirs text not null,
    -- the band that we would have shown
    band text not null,
    seen_at bigint not null,
    -- why it is ours again; null while it is theirs
    ended_why text,
    primary key (source, contact_id, what, name)
);

create index effects_pooled on effects (state, play, id) where state in ('draft', 'held', 'asked');
