-- Lanes side by side: what was handed over and may have left, which lane rests, links, and the CRM's own history.

-- When it was tried the time before this one.
alter table effects add column tried_at bigint;

-- When the channel was last asked what became of it: of `unknown` only.
alter table effects add column asked_at bigint;

-- Whether the CRM has been told of it: '' where it is not to be, waiting, telling, told, failed, or unsure (perhaps).
alter table messages add column log_state text not null default '';
alter table messages add column logged_at bigint;
alter table messages add column log_reason text;
create index messages_to_log on messages (log_state, sent_at) where log_state <> '';

-- A letter just before it is handed over: what was not begun to be handed over has surely not left, and what was can be
-- looked for, and told of, by what stands here. Gone once nobody needs it any more.
create table handed_over (
    effect_id text primary key references effects (id),
    -- which attempt it was
    attempt bigint not null,
    -- when a letter of this effect was first handed over: so old is the key by which the channel recognises it
    first_at bigint not null,
    at bigint not null,
    message_id text not null,
    sender text not null,
    subject text not null,
    body text not null,
    html text not null,
    basis text not null,
    -- the mail's fields at that moment: email, play, purpose, template, contact_id; as JSON
    mail text not null
);

-- Until when a lane is left alone, because its vendor said so.
create table lane_rests (
    lane text primary key,
    until bigint not null,
    reason text not null
);

-- Where the links of our mails lead; the address holds the id alone, signed.
create table links (
    id text primary key,
    effect_id text not null references effects (id),
    target text not null,
    made_at bigint not null
);
create index links_of on links (effect_id);
