-- What people say: overrides, pulses, and where pulse and band part.

-- name: add_override: none where another is open
insert into overrides (id, customer_id, how, band, score, author, reason, since, until)
values (:id, :customer_id, :how, :band, :score, :author, :reason, :since, :until)
on conflict (customer_id) where ended_at is null do nothing

-- name: end_override
update overrides set ended_at = :now, ended_why = :why where id = :id and ended_at is null

-- name: open_overrides: those past their time among them, until an assessment ends them
select o.id, o.customer_id, o.how, o.band, o.score, o.author, o.reason, o.since, o.until, c.merged_into
from overrides o join customers c on c.id = o.customer_id
where o.ended_at is null
order by o.since, o.id

-- name: overrides_at: those in force at a moment
select o.id, o.customer_id, o.how, o.band, o.score, o.author, o.reason, o.since, o.until, c.merged_into
from overrides o join customers c on c.id = o.customer_id
where o.since <= :now and o.until > :now and (o.ended_at is null or o.ended_at > :now)
order by o.since, o.id

-- name: merged_into
select merged_into from customers where id = :customer_id

-- name: soil
insert into dirty (customer_id, since, urgent) values (:customer_id, :now, 1)
on conflict (customer_id) do update set urgent = 1

-- name: put_pulse
insert into pulses (source, source_id, author, note) values (:source, :source_id, :author, :note)
on conflict (source, source_id) do update set author = excluded.author, note = excluded.note

-- name: pulses: of everybody, the newest last; one that came without a word has no row beside it
select f.customer_id, f.at, f.value, f.source, f.source_id,
    coalesce(p.author, '') as author, coalesce(p.note, '') as note
from facts f left join pulses p on p.source = f.source and p.source_id = f.source_id
where f.kind = 'pulse' and f.at > :since and f.at <= :now
order by f.at, f.source, f.source_id

-- name: pulses_of
select f.customer_id, f.at, f.value, f.source, f.source_id,
    coalesce(p.author, '') as author, coalesce(p.note, '') as note
from facts f left join pulses p on p.source = f.source and p.source_id = f.source_id
where f.customer_id = :customer_id and f.kind = 'pulse' and f.at > :since and f.at <= :now
order by f.at, f.source, f.source_id

-- name: an_identity: by which a customer can be named to the intake
select source, external_id from identities
where customer_id = :customer_id
order by case when gone_at is null then 0 else 1 end, case source when 'email' then 1 else 0 end, at, id
limit 1

-- name: crm_fields
select fields, updated_at from crm_contacts where source = :source and contact_id = :contact_id

-- name: open_disagreement: none where one is open, or where this pulse against this band was asked about or answered
insert into disagreements
    (id, customer_id, owner, band, pulse, pulse_at, pulse_source, pulse_source_id, pulse_author, opened_at)
select cast(:id as text), cast(:customer_id as text), cast(:owner as text), cast(:band as text),
    cast(:pulse as bigint), cast(:pulse_at as bigint), cast(:pulse_source as text), cast(:pulse_source_id as text),
    cast(:pulse_author as text), cast(:now as bigint)
where not exists (
    select 1 from disagreements d
    where d.customer_id = :customer_id and d.band = :band
        and d.pulse_source = :pulse_source and d.pulse_source_id = :pulse_source_id
        and (d.asked_at is not null or coalesce(d.author, '') <> '')
)
on conflict (customer_id) where closed_at is null do nothing

-- name: update_disagreement: an open one is about the newest pulse and the present band
update disagreements
set band = :band, pulse = :pulse, pulse_at = :pulse_at, pulse_source = :pulse_source,
    pulse_source_id = :pulse_source_id, pulse_author = :pulse_author
where id = :id and closed_at is null

-- name: ask
update disagreements set asked_at = :now where id = :id and asked_at is null

-- name: close_disagreement
update disagreements
set closed_at = :now, answer = :answer, was_right = :was_right, author = :author
where id = :id and closed_at is null

-- name: disagreements: the open ones, the longest open first
select d.id, d.customer_id, c.name, d.owner, d.band, d.pulse, d.pulse_at, d.pulse_source, d.pulse_source_id,
    d.pulse_author, d.opened_at, d.asked_at, d.closed_at, d.answer, d.was_right, d.author, c.merged_into
from disagreements d join customers c on c.id = d.customer_id
where d.closed_at is null
order by d.opened_at, d.id

-- name: disagreements_of: the newest first
select d.id, d.customer_id, c.name, d.owner, d.band, d.pulse, d.pulse_at, d.pulse_source, d.pulse_source_id,
    d.pulse_author, d.opened_at, d.asked_at, d.closed_at, d.answer, d.was_right, d.author, c.merged_into
from disagreements d join customers c on c.id = d.customer_id
where d.customer_id = :customer_id
order by d.opened_at desc, d.id desc

-- name: disagreement
select d.id, d.customer_id, c.name, d.owner, d.band, d.pulse, d.pulse_at, d.pulse_source, d.pulse_source_id,
    d.pulse_author, d.opened_at, d.asked_at, d.closed_at, d.answer, d.was_right, d.author, c.merged_into
from disagreements d join customers c on c.id = d.customer_id
where d.id = :id
