-- What may leave: which kinds of act are released, which messages wait for a person, and what became of them.

-- The step of a play that an effect is: '' for the first.
alter table effects add column step text not null default '';

-- Whether it was refused, or waits: what waits is recorded once for each rule that held it.
alter table refusals add column outcome text not null default 'refused';

-- Whether the opt-in status stands against no mail at all.
alter table crm_contacts add column may_serve bigint not null default 0;

-- The kinds of act that a person has released, in `approve`: `tag:green`, `field:score`, `play:usage-drop` …
create table releases (
    kind text primary key,
    at bigint not null,
    by text not null
);

-- Messages that wait for a person's yes, and what the person said.
create table approvals (
    effect_id text primary key references effects (id),
    -- why it is asked about: the first sends of a template, the band, the worth
    why text not null,
    asked_at bigint not null,
    decided_at bigint,
    -- send or refuse; null while it waits
    decision text,
    by text,
    -- why not, in the person's words
    note text,
    -- the text as the person edited it; null leaves the template's
    subject text,
    body text
);

-- What channels told of messages; the same event any number of times is one row.
create table mail_events (
    source text not null,
    source_id text not null,
    word text not null,
    at bigint not null,
    address text not null,
    effect_id text references effects (id),
    final bigint not null default 0,
    detail text not null default '',
    primary key (source, source_id)
);
create index mail_events_of on mail_events (effect_id);
create index mail_events_by_time on mail_events (word, at);
