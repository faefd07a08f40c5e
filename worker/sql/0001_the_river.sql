-- Every time is whole epoch seconds, UTC; every `value` of a fact whole millionths; JSON is opaque text.

-- 1 intake ------------------------------------------------------------------------------------------------------------

-- One raw thing that arrived. It repeats another only if id and body are equal.
create table deliveries (
    id text primary key,
    source text not null,
    stream text not null,
    external_id text not null,
    body_hash text not null,
    body text not null,
    received_at bigint not null,
    -- 1 for a first backfill or an import: what it tells was known when it happened
    history bigint not null default 0,
    parsed_at bigint,
    attempts bigint not null default 0,
    error text,
    unique (source, stream, external_id, body_hash)
);
create index deliveries_unparsed on deliveries (id) where parsed_at is null;

-- How often something happened that leaves no row: refused requests, unknown events.
create table counters (
    name text primary key,
    n bigint not null
);

-- Where each pull stands, and how its source is doing.
create table cursors (
    source text not null,
    stream text not null,
    value text,
    succeeded_at bigint,
    failed_at bigint,
    reason text,
    primary key (source, stream)
);

create table customers (
    id text primary key,
    name text not null default '',
    owner text not null default '',
    time_zone text not null default '',
    first_at bigint not null,
    merged_into text references customers (id),
    name_at bigint not null default 0
);

create table identities (
    id text primary key,
    source text not null,
    external_id text not null,
    customer_id text not null references customers (id),
    at bigint not null,
    -- how we know whose it is: first (it made the customer), link (declared), name, email (a guess that a link may mend)
    via text not null,
    -- the newest sighting that has been taken in, so that an older one never overwrites it
    sighted_at bigint not null default 0,
    gone_at bigint,
    unique (source, external_id)
);
create index identities_of on identities (customer_id);

create table people (
    id text primary key,
    customer_id text not null references customers (id),
    identity_id text not null references identities (id),
    email text not null,
    name text not null default '',
    role text not null,
    at bigint not null,
    unique (identity_id, role)
);
create index people_by_email on people (email);
create index people_of on people (customer_id);

create table attributes (
    customer_id text not null references customers (id),
    identity_id text not null references identities (id),
    name text not null,
    at bigint not null,
    value text not null,
    primary key (identity_id, name, at)
);
create index attributes_of on attributes (customer_id, name, at);

create table facts (
    id text primary key,
    customer_id text not null references customers (id),
    identity_id text not null references identities (id),
    kind text not null,
    label text not null default '',
    at bigint not null,
    known_at bigint not null,
    -- the customer's local day
    day bigint not null,
    value bigint not null,
    source text not null,
    source_id text not null,
    -- as of when the source said so: a newer word on the same fact replaces an older one, never the reverse
    sighted_at bigint not null,
    unique (source, source_id)
);
create index facts_of on facts (customer_id, day, kind);
create index facts_by_identity on facts (identity_id);
create index facts_of_comings on facts (kind, customer_id) where kind in ('left', 'joined', 'subscription');

-- Facts by customer, kind, label and local day: always equal to what grouping `facts` gives.
create table rollup (
    customer_id text not null,
    kind text not null,
    label text not null,
    day bigint not null,
    n bigint not null,
    total bigint not null,
    lowest bigint not null,
    highest bigint not null,
    first_at bigint not null,
    first_value bigint not null,
    last_at bigint not null,
    last_value bigint not null,
    primary key (customer_id, kind, label, day)
) {clustered};

-- Customers whose facts changed since they were last assessed.
create table dirty (
    customer_id text primary key references customers (id),
    since bigint not null,
    urgent bigint not null default 0
);

-- The CRM as it was last seen.
create table crm_contacts (
    source text not null,
    contact_id text not null,
    identity_id text not null references identities (id),
    email text not null,
    opt_in text not null,
    may_mail bigint not null,
    tags text not null,
    fields text not null,
    updated_at bigint not null,
    seen_at bigint not null,
    primary key (source, contact_id)
);
create index crm_contacts_of on crm_contacts (identity_id);

-- Two that may be one, and nobody has said so yet.
create table doubts (
    id text primary key,
    identity_id text not null references identities (id),
    other_customer_id text not null references customers (id),
    reason text not null,
    at bigint not null,
    settled_at bigint,
    answer text,
    unique (identity_id, other_customer_id)
);

-- What was made one, so that it can be made two again: the identities that moved, as JSON.
create table merges (
    id text primary key,
    kept text not null references customers (id),
    merged text not null references customers (id),
    moved text not null,
    reason text not null,
    at bigint not null,
    undone_at bigint
);

-- 2 scoring -----------------------------------------------------------------------------------------------------------

-- What a pass is to read: one row a customer and moment. Empty between passes.
create table worklist (
    pass text not null,
    customer_id text not null,
    at bigint not null,
    today bigint not null,
    primary key (pass, customer_id)
);

create table scorecards (
    version text primary key,
    name text not null,
    body text not null,
    since bigint not null
);

create table scores (
    id text primary key,
    customer_id text not null references customers (id),
    at bigint not null,
    version text not null,
    -- decimal text, nine places; null while unknown
    score text,
    band text not null,
    coverage text not null,
    -- measures with state, value and points; drivers; rules; signals
    detail text not null,
    run_id text not null
);
create index scores_of on scores (customer_id, at);

-- Where each customer stands now, and the band that waits for its days to pass.
create table standings (
    customer_id text primary key references customers (id),
    score_id text not null references scores (id),
    band text not null,
    since bigint not null,
    waiting text,
    waiting_since bigint,
    -- when it was last looked at, whether or not anything moved
    assessed_at bigint not null default 0,
    -- ids of facts that sort behind this one had not been taken in by then
    heard text not null default ''
);

create table changes (
    id text primary key,
    customer_id text not null references customers (id),
    at bigint not null,
    old_band text not null,
    new_band text not null,
    score_id text not null references scores (id),
    version text not null,
    why text not null
);
create index changes_by_time on changes (at);
create index changes_of on changes (customer_id, at);

-- 3 plays, 4 dispatch -------------------------------------------------------------------------------------------------

create table effects (
    id text primary key,
    -- the idempotency key: the same intent any number of times is one row
    key text not null unique,
    lane text not null,
    kind text not null,
    customer_id text not null references customers (id),
    -- the contact or the address
    target text not null default '',
    change_id text references changes (id),
    play text not null default '',
    payload text not null,
    -- waiting, sending, done, refused, failed, unknown, replaced
    state text not null,
    created_at bigint not null,
    due_at bigint not null,
    attempts bigint not null default 0,
    sending_since bigint,
    finished_at bigint,
    reason text,
    reference text
);
create index effects_waiting on effects (lane, due_at) where state = 'waiting';
create index effects_sending on effects (lane) where state = 'sending';
create index effects_of on effects (customer_id, created_at);
create index effects_on on effects (target, id) where kind = 'standing';

-- What was not done, and why not.
create table refusals (
    id text primary key,
    customer_id text not null references customers (id),
    effect_id text references effects (id),
    play text not null,
    rule text not null,
    reason text not null,
    at bigint not null
);
create index refusals_of on refusals (customer_id, at);

create table messages (
    id text primary key,
    effect_id text not null unique references effects (id),
    customer_id text not null references customers (id),
    email text not null,
    play text not null,
    purpose text not null,
    template text not null,
    subject text not null,
    body text not null,
    -- the recorded basis for writing at all
    basis text not null,
    sent_at bigint not null
);
create index messages_of on messages (customer_id, sent_at);
create index messages_to on messages (email, sent_at);

-- Addresses that want no more mail, as a salted hash: it outlives the person's erasure.
create table suppressions (
    address_hash text primary key,
    reason text not null,
    at bigint not null
);

create table runs (
    id text primary key,
    kind text not null,
    started_at bigint not null,
    finished_at bigint,
    summary text
);

-- What a CRM contact looked like before our first write.
create table snapshots (
    source text not null,
    contact_id text not null,
    at bigint not null,
    tags text not null,
    fields text not null,
    primary key (source, contact_id)
);

-- The before-image of everything written to a CRM.
create table journal (
    id text primary key,
    run_id text not null references runs (id),
    source text not null,
    contact_id text not null,
    -- 'field' or 'tag'
    what text not null,
    name text not null,
    before text,
    after text,
    at bigint not null,
    -- intended, written, failed
    state text not null,
    reason text,
    undone_at bigint
);
create index journal_of_run on journal (run_id);
create index journal_of_contact on journal (contact_id, at);

-- the house -----------------------------------------------------------------------------------------------------------

-- Switches that a person sets while it runs: mode, pause, the password's hash, the canary's finding.
create table switches (
    name text primary key,
    value text not null,
    at bigint not null
);

create table leases (
    name text primary key,
    owner text not null,
    until bigint not null
);

-- A slot of the schedule that was taken; a late leader cannot take it twice.
create table slots (
    job text not null,
    slot text not null,
    owner text not null,
    at bigint not null,
    primary key (job, slot)
);

create table api_keys (
    id text primary key,
    name text not null,
    key_hash text not null unique,
    created_at bigint not null,
    revoked_at bigint
);

create table sessions (
    id_hash text primary key,
    csrf text not null,
    created_at bigint not null,
    seen_at bigint not null
);
