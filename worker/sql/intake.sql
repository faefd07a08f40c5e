-- Station 1: deliveries, whose they are, facts and their roll-up.

-- name: identity
select i.id, i.customer_id, i.via, i.sighted_at, i.gone_at, c.time_zone, c.first_at
from identities i join customers c on c.id = i.customer_id
where i.source = :source and i.external_id = :external_id

-- name: add_identity
insert into identities (id, source, external_id, customer_id, at, via)
values (:id, :source, :external_id, :customer_id, :at, :via)
on conflict (source, external_id) do nothing

-- name: sight
update identities
set sighted_at = :at, gone_at = case when :gone = 1 then cast(:at as bigint) end
where id = :id and sighted_at <= :at

-- name: add_customer
insert into customers (id, name, owner, time_zone, first_at) values (:id, :name, :owner, :time_zone, :first_at)

-- name: customer
select time_zone, first_at from customers where id = :id

-- name: known_since
update customers set first_at = :at where id = :id and first_at > :at

-- name: name_customer
update customers
set name = :name, name_at = :at
where id = :id and name_at <= :at and name <> :name

-- name: own_customer
update customers set owner = :owner where id = :id and owner <> :owner

-- name: customers_at
select distinct c.id, c.name
from people p join customers c on c.id = p.customer_id
where p.email = :email
order by c.id

-- name: known_only_by_address
select i.customer_id
from identities i
where i.source = 'email' and i.external_id = :email
  and not exists (
    select 1 from identities o where o.customer_id = i.customer_id and o.source <> 'email'
  )

-- name: sources_of
select distinct source from identities where customer_id = :customer_id order by source

-- name: put_person
insert into people (id, customer_id, identity_id, email, name, role, at)
values (:id, :customer_id, :identity_id, :email, :name, :role, :at)
on conflict (identity_id, role) do update
set email = excluded.email, name = excluded.name, at = excluded.at, customer_id = excluded.customer_id
where people.at <= excluded.at

-- name: put_attribute
insert into attributes (customer_id, identity_id, name, at, value)
values (:customer_id, :identity_id, :name, :at, :value)
on conflict (identity_id, name, at) do update set value = excluded.value

-- name: attribute_at
select value from attributes where identity_id = :identity_id and name = :name and at = :at

-- name: put_crm_contact
insert into crm_contacts
    (source, contact_id, identity_id, email, opt_in, may_mail, may_serve, tags, fields, updated_at, seen_at)
values
    (:source, :contact_id, :identity_id, :email, :opt_in, :may_mail, :may_serve, :tags, :fields, :updated_at, :seen_at)
on conflict (source, contact_id) do update
set email = excluded.email, opt_in = excluded.opt_in, may_mail = excluded.may_mail, may_serve = excluded.may_serve,
    tags = excluded.tags,
    fields = excluded.fields, updated_at = excluded.updated_at, seen_at = excluded.seen_at,
    identity_id = excluded.identity_id
where crm_contacts.updated_at <= excluded.updated_at

-- name: contacts_at
select c.contact_id from crm_contacts c join identities i on i.id = c.identity_id
where c.source = :source and c.email = :email and i.gone_at is null
order by c.contact_id

-- name: take_consent
update crm_contacts
set email = coalesce(cast(:email as text), email), opt_in = :opt_in, may_mail = :may_mail,
    may_serve = :may_serve, seen_at = :now
where source = :source and contact_id = :contact_id

-- name: fact
select id, customer_id, identity_id, kind, label, at, known_at, mended_at, day, value, sighted_at
from facts where source = :source and source_id = :source_id

-- name: add_fact
insert into facts (id, customer_id, identity_id, kind, label, at, known_at, day, value, source, source_id, sighted_at)
values (:id, :customer_id, :identity_id, :kind, :label, :at, :known_at, :day, :value, :source, :source_id, :sighted_at)
on conflict (source, source_id) do nothing

-- name: mend_fact
update facts
set customer_id = :customer_id, identity_id = :identity_id, kind = :kind, label = :label, at = :at,
    known_at = :known_at, mended_at = :mended_at, day = :day, value = :value, sighted_at = :sighted_at
where id = :id

-- name: put_former
insert into former_facts (fact_id, kind, label, at, known_at, until, day, value)
values (:fact_id, :kind, :label, :at, :known_at, :mended_at, :day, :value)

-- name: forget_former
delete from former_facts where fact_id = :fact_id

-- name: roll_up: of one day; two short looks for the ends, since a window function sorts even a single fact
insert into rollup
    (customer_id, kind, label, day, n, total, lowest, highest, first_at, first_value, last_at, last_value)
select d.customer_id, d.kind, d.label, d.day, d.n, d.total, d.lowest, d.highest,
    d.first_at, (
        select min(f.value) from facts f
        where f.customer_id = :customer_id and f.kind = :kind and f.label = :label and f.day = :day and f.at = d.first_at
    ),
    d.last_at, (
        select max(f.value) from facts f
        where f.customer_id = :customer_id and f.kind = :kind and f.label = :label and f.day = :day and f.at = d.last_at
    )
from (
    select customer_id, kind, label, day, count(*) as n, cast(sum(value) as bigint) as total,
        min(value) as lowest, max(value) as highest, min(at) as first_at, max(at) as last_at
    from facts
    where customer_id = :customer_id and kind = :kind and label = :label and day = :day
    group by customer_id, kind, label, day
) as d
where 1 = 1
on conflict (customer_id, kind, label, day) do update
set n = excluded.n, total = excluded.total, lowest = excluded.lowest, highest = excluded.highest,
    first_at = excluded.first_at, first_value = excluded.first_value,
    last_at = excluded.last_at, last_value = excluded.last_value

-- name: unroll
delete from rollup
where customer_id = :customer_id and kind = :kind and label = :label and day = :day

-- name: roll_up_customer
insert into rollup
    (customer_id, kind, label, day, n, total, lowest, highest, first_at, first_value, last_at, last_value)
select customer_id, kind, label, day, count(*), cast(sum(value) as bigint), min(value), max(value),
    min(at), min(case when first = 1 then value end), max(at), min(case when last = 1 then value end)
from (
    select customer_id, kind, label, day, value, at,
        row_number() over (partition by kind, label, day order by at, value) as first,
        row_number() over (partition by kind, label, day order by at desc, value desc) as last
    from facts
    where customer_id = :customer_id
) as of_the_days
group by customer_id, kind, label, day

-- name: unroll_customer
delete from rollup where customer_id = :customer_id

-- name: soil
insert into dirty (customer_id, since, urgent) values (:customer_id, :since, :urgent)
on conflict (customer_id) do update
set urgent = case when excluded.urgent > dirty.urgent then excluded.urgent else dirty.urgent end

-- name: unparsed
select id, source, stream, external_id, body, received_at, history, attempts
from deliveries
where parsed_at is null and attempts < :attempts and (:pulled = 1 or stream = 'webhook' or source = 'api')
order by id limit :most

-- name: parsed
update deliveries set parsed_at = :now, error = :error where id = :id

-- name: stumbled
update deliveries set attempts = attempts + 1, error = :error where id = :id

-- name: replay
update deliveries set parsed_at = null, attempts = 0, error = null
where source = :source and received_at >= :since

-- name: store_page
insert into deliveries (id, source, stream, external_id, body_hash, body, received_at, history)
values (:id, :source, :stream, :external_id, :body_hash, :body, :received_at, :history)
on conflict (source, stream, external_id, body_hash) do nothing

-- name: cursor
select value, succeeded_at, failed_at, reason from cursors where source = :source and stream = :stream

-- name: move_cursor
insert into cursors (source, stream, value) values (:source, :stream, :value)
on conflict (source, stream) do update set value = excluded.value

-- name: pull_succeeded
insert into cursors (source, stream, succeeded_at) values (:source, :stream, :now)
on conflict (source, stream) do update set succeeded_at = excluded.succeeded_at, failed_at = null, reason = null

-- name: pull_failed
insert into cursors (source, stream, failed_at, reason) values (:source, :stream, :now, :reason)
on conflict (source, stream) do update set failed_at = excluded.failed_at, reason = excluded.reason

-- name: count
insert into counters (name, n) values (:name, :n)
on conflict (name) do update set n = counters.n + excluded.n

-- name: put_doubt
insert into doubts (id, identity_id, other_customer_id, reason, at)
values (:id, :identity_id, :other_customer_id, :reason, :at)
on conflict (identity_id, other_customer_id) do nothing

-- name: add_merge
insert into merges (id, kept, merged, moved, reason, at) values (:id, :kept, :merged, :moved, :reason, :at)

-- name: identities_of
select id, source, external_id, via, at from identities where customer_id = :customer_id order by id

-- name: merge
select id, kept, merged, moved, undone_at from merges where id = :id

-- name: undo_merge
update merges set undone_at = :now where id = :id

-- name: merged_into
update customers set merged_into = :kept where id = :merged

-- name: inherit: the one that stays is known since the earlier of both, and takes a name where it has none
update customers
set first_at = (select min(o.first_at) from customers o where o.id in (:kept, :merged)),
    name = case when name = '' then (select o.name from customers o where o.id = :merged) else name end
where id = :kept

-- name: clean
delete from dirty where customer_id = :customer_id

-- name: customer_of
select customer_id from identities where id = :identity_id

-- name: move_people
update people set customer_id = :customer_id where identity_id = :identity_id

-- name: move_attributes
update attributes set customer_id = :customer_id where identity_id = :identity_id

-- name: move_facts
update facts set customer_id = :customer_id where identity_id = :identity_id

-- name: move_identity
update identities set customer_id = :customer_id where id = :identity_id

-- name: days
select id, at, day from facts where customer_id = :customer_id

-- name: redate
update facts set day = :day where id = :id

-- name: former_days
select o.fact_id, o.until, o.at, o.day
from former_facts o join facts f on f.id = o.fact_id
where f.customer_id = :customer_id and f.mended_at > 0

-- name: redate_former
update former_facts set day = :day where fact_id = :fact_id and until = :mended_at

-- name: zone_of
select time_zone from customers where id = :customer_id

-- name: put_zone
update customers set time_zone = :time_zone where id = :customer_id

-- name: address_of
select email from people where identity_id = :identity_id and email <> ''

-- name: message_named: a message of ours by our own name of it
select id, customer_id from effects where id = :effect_id and lane in ('mail', 'sms')

-- name: message_under: by the channel's name of it
select id, customer_id from effects
where reference = :reference and reference is not null and lane in ('mail', 'sms')
order by id limit 1

-- name: message_to: the newest one that had left for that address by then
select id, customer_id from effects
where target = :address and lane in ('mail', 'sms') and state = 'done' and sending_since <= :at
order by sending_since desc, id desc limit 1

-- name: put_mail_event
insert into mail_events (source, source_id, word, at, address, effect_id, final, detail)
values (:source, :source_id, :word, :at, :address, :effect_id, :final, :detail)
on conflict (source, source_id) do nothing

-- name: mail_event_at
select at from mail_events where source = :source and source_id = :source_id

-- name: learn_reference
update effects set reference = :reference where id = :effect_id and reference is null and state = 'unknown'

-- name: goes_as: the customer into which this one was merged
select merged_into from customers where id = :customer_id

-- name: identity_at: of a customer's identities the one with that address, else the oldest
select i.id from identities i where i.customer_id = :customer_id
order by case
    when exists (select 1 from people p where p.identity_id = i.id and p.email = :address) then 0
    when exists (select 1 from crm_contacts c where c.identity_id = i.id and c.email = :address) then 0
    else 1
end, i.id
limit 1

-- name: proven: messages of which nobody knew whether they left, or that are about to leave again, and the channel told
select e.id, e.customer_id, e.target, e.play, e.payload, e.sending_since, min(m.word) as word, min(m.source) as source
from effects e join mail_events m on m.effect_id = e.id
where e.state = 'unknown' and e.lane in ('mail', 'sms')
group by e.id, e.customer_id, e.target, e.play, e.payload, e.sending_since
union all
select e.id, e.customer_id, e.target, e.play, e.payload, e.sending_since, min(m.word) as word, min(m.source) as source
from effects e join mail_events m on m.effect_id = e.id
where e.state = 'waiting' and e.attempts > 0 and e.lane in ('mail', 'sms')
group by e.id, e.customer_id, e.target, e.play, e.payload, e.sending_since
order by 1

-- name: prove
update effects set state = 'done', finished_at = :now, reason = :reason
where id = :effect_id and state in ('unknown', 'waiting')

-- name: keep_proven: it counts as sent from when it was tried, as it was handed over
insert into messages (id, effect_id, customer_id, email, play, purpose, template, subject, body, basis, sent_at)
values (
    :id, :effect_id, :customer_id, :address, :play, :purpose, :template,
    coalesce((select h.subject from handed_over h where h.effect_id = :effect_id), ''),
    coalesce((select h.body from handed_over h where h.effect_id = :effect_id), ''),
    :basis, :at
)
on conflict (effect_id) do nothing
