-- Station 3: what plays and the arbiter must know of a customer.

-- name: opt_ins
select c.opt_in, c.may_mail
from crm_contacts c join identities i on i.id = c.identity_id
where c.email = :email and i.gone_at is null
order by c.source, c.contact_id

-- name: suppressed
select reason from suppressions where address_hash = :address_hash

-- name: last_mail
select max(at) as at from (
    select sent_at as at from messages where customer_id = :customer_id
    union all
    select sent_at as at from messages where email = :email
    union all
    select f.at from facts f where f.customer_id = :customer_id and f.kind = 'mail_sent' and f.at <= :now
    union all
    select f.at
    from facts f join people p on p.customer_id = f.customer_id
    where p.email = :email and f.kind = 'mail_sent' and f.at <= :now
    union all
    select e.sending_since as at from effects e
    where (e.customer_id = :customer_id or e.target = :email)
        and e.lane = 'mail' and e.state in ('sending', 'unknown') and e.id <> :effect_id
) as mails

-- name: open_now
select cast(coalesce(sum(value), 0) as bigint) as total from facts
where customer_id = :customer_id and kind = :kind and at <= :now and (label = :label or :label = '')

-- name: departed: of one second the coming last, where a subscription runs: one may have replaced another
select customer_id from (
    select customer_id,
        max(case when kind = 'left' then at end) as left_at,
        max(case when kind = 'joined' or (kind = 'subscription' and value > 0) then at end) as here_at,
        sum(case when kind = 'subscription' then value else 0 end) as running
    from facts
    where kind in ('left', 'joined', 'subscription') and at <= :now
        and customer_id in (select customer_id from facts where kind = 'left')
    group by customer_id
) as comings
where left_at > coalesce(here_at, 0) or (left_at = here_at and running <= 0)

-- name: here
select c.merged_into, c.time_zone,
    max(case when f.kind = 'left' then f.at end) as left_at,
    max(case when f.kind = 'joined' or (f.kind = 'subscription' and f.value > 0) then f.at end) as here_at,
    cast(coalesce(sum(case when f.kind = 'subscription' then f.value end), 0) as bigint) as running
from customers c
    left join facts f on f.customer_id = c.id and f.kind in ('left', 'joined', 'subscription') and f.at <= :now
where c.id = :customer_id
group by c.id, c.merged_into, c.time_zone

-- name: recent
select kind, label, day, n, total, last_at, last_value from rollup
where customer_id = :customer_id and day > :since and day <= :today
order by kind, last_at, label

-- name: newly_known
select kind, source_id, at from facts
where customer_id = :customer_id and day >= :since_day and id > :heard and known_at >= :since
    and at > :not_before and at <= :now
order by kind, at, source_id

-- name: last_of_two: when the last fact of each of two kinds happened
select max(case when kind = :one then at end) as first_at, max(case when kind = :other then at end) as then_at
from facts where customer_id = :customer_id and kind in (:one, :other) and at <= :now

-- name: contacts_of
select c.contact_id, c.email, c.may_mail, i.id as identity_id
from crm_contacts c join identities i on i.id = c.identity_id
where i.customer_id = :customer_id and c.source = :source and i.gone_at is null

-- name: people_of
select p.email, p.name, p.role, p.at from people p join identities i on i.id = p.identity_id
where p.customer_id = :customer_id and i.gone_at is null and p.email <> ''
order by p.role, p.at desc, p.email

-- name: last_acts
select play, max(created_at) as at from effects
where customer_id = :customer_id and play <> '' and state not in ('refused', 'replaced')
group by play

-- name: segment
select value from attributes where customer_id = :customer_id and name = :name and at <= :now
order by at desc, value limit 1

-- name: refuse
insert into refusals (id, customer_id, effect_id, play, rule, reason, at)
values (:id, :customer_id, :effect_id, :play, :rule, :reason, :at)

-- name: suppress
insert into suppressions (address_hash, reason, at) values (:address_hash, :reason, :at)
on conflict (address_hash) do nothing

-- name: set_switch
insert into switches (name, value, at) values (:name, :value, :at)
on conflict (name) do update set value = excluded.value, at = excluded.at
