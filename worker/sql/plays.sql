-- Station 3: what plays and the arbiter must know of a customer.

-- name: opt_ins
select c.opt_in, c.may_mail, c.may_serve, c.tags
from crm_contacts c join identities i on i.id = c.identity_id
where c.email = :email and i.gone_at is null
order by c.source, c.contact_id

-- name: suppressed
select reason from suppressions where address_hash = :address_hash

-- name: mails_since: when mails went to this customer or address, whoever sent them; what may have left counts
select at from (
    select sent_at as at from messages where customer_id = :customer_id and sent_at >= :since
    union
    select sent_at as at from messages where email = :email and sent_at >= :since
    union
    select f.at from facts f
    where f.customer_id = :customer_id and f.kind = 'mail_sent' and f.at <= :now and f.at >= :since
    union
    select f.at
    from facts f join people p on p.customer_id = f.customer_id
    where p.email = :email and f.kind = 'mail_sent' and f.at <= :now and f.at >= :since
    union
    select e.sending_since as at from effects e
    where (e.customer_id = :customer_id or e.target = :email) and e.sending_since >= :since
        and e.lane in ('mail', 'sms') and e.state in ('sending', 'unknown') and e.id <> :effect_id
) as mails
order by at

-- name: last_word_of_a_person: when one of ours was last in touch: they answered us, we answered a ticket or did a task
select max(at) as at from facts
where customer_id = :customer_id and kind in ('mail_replied', 'first_reply', 'task_done') and at <= :now

-- name: last_of_kind
select max(at) as at from facts where customer_id = :customer_id and kind = :kind and at <= :now

-- name: came_since
select 1 as came from facts
where customer_id = :customer_id and kind = :kind and at > :since and at <= :now limit 1

-- name: stands: how the customer stands, and what waits to come
select t.band, t.since, t.waiting, s.coverage
from standings t join scores s on s.id = t.score_id
where t.customer_id = :customer_id

-- name: card_since: when the newest scorecard began to count; null while there has been one only
select case when max(since) > min(since) then max(since) end as since from scorecards

-- name: this_effect
select created_at, attempts from effects where id = :id

-- name: others_waiting: what else wants to reach this person within a day
select distinct play from effects
where (customer_id = :customer_id or target = :email) and lane in ('mail', 'sms') and id <> :effect_id
    and state in ('waiting', 'asked', 'sending') and due_at <= :until and play <> :play

-- name: acted_before: when this play last did something for this customer on another occasion
select max(created_at) as at from effects
where customer_id = :customer_id and play = :play and created_at < :before
    and state not in ('refused', 'replaced', 'failed', 'draft')

-- name: in_doubt
select target from effects
where customer_id = :customer_id and play = :play and state = 'unknown' and id <> :effect_id limit 1

-- name: approval
select decision, note, why from approvals where effect_id = :effect_id

-- name: ask_person
insert into approvals (effect_id, why, asked_at) values (:effect_id, :why, :now) on conflict (effect_id) do nothing

-- name: sent_of_template
select count(*) as n from messages where template = :template

-- name: released
select kind from releases

-- name: fleet: of how many customers how many turned within a day
select (select count(*) from standings) as customers,
    (select count(distinct customer_id) from changes where at > :since and at <= :now) as turned

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
select c.merged_into, c.time_zone, c.first_at,
    max(case when f.kind = 'left' then f.at end) as left_at,
    max(case when f.kind = 'joined' or (f.kind = 'subscription' and f.value > 0) then f.at end) as here_at,
    cast(coalesce(sum(case when f.kind = 'subscription' then f.value end), 0) as bigint) as running
from customers c
    left join facts f on f.customer_id = c.id and f.kind in ('left', 'joined', 'subscription') and f.at <= :now
where c.id = :customer_id
group by c.id, c.merged_into, c.time_zone, c.first_at

-- name: recent
select kind, label, day, n, total, last_at, last_value from rollup
where customer_id = :customer_id and day > :since and day <= :today
order by kind, last_at, label

-- name: newly_known: taken in since, or said otherwise than before since
select kind, source_id, label, at, value from facts
where customer_id = :customer_id and day >= :since_day and at > :not_before and at <= :now
    and ((id > :heard and known_at >= :since) or (mended_at > 0 and mended_at >= :since))
order by kind, at, source_id

-- name: newest_attributes: of customers by their ids, the newest value last
select customer_id, name, value, at from attributes
where customer_id >= :from_id and customer_id <= :to_id and at <= :now
order by customer_id, name, at, value

-- name: joinings: since when customers are here
select c.id as customer_id, coalesce(max(f.at), c.first_at) as joined_at
from customers c
    left join facts f on f.customer_id = c.id and f.at <= :now
        and (f.kind = 'joined' or (f.kind = 'subscription' and f.value > 0))
where c.id >= :from_id and c.id <= :to_id
group by c.id, c.first_at

-- name: last_uses: the last local day on which somebody there used it
select customer_id, max(day) as day from rollup
where customer_id >= :from_id and customer_id <= :to_id and kind in ('usage', 'login') and day <= :today
group by customer_id

-- name: used_products: what customers use or used, each with its last local day
select customer_id, label, max(day) as day, count(*) as days from rollup
where customer_id >= :from_id and customer_id <= :to_id and kind = 'usage' and label <> '' and day <= :today
group by customer_id, label

-- name: popular_products: what how many customers used lately, the commonest first
select label, count(distinct customer_id) as customers from rollup
where kind = 'usage' and label <> '' and day > :since and day <= :today
group by label order by customers desc, label

-- name: fired
select customer_id, play, occasion from firings where customer_id >= :from_id and customer_id <= :to_id

-- name: fire
insert into firings (customer_id, play, occasion, at) values (:customer_id, :play, :occasion, :at)
on conflict (customer_id, play, occasion) do nothing

-- name: tasks_of_day: how many tasks somebody was given for one day
select count(*) as n from effects
where lane = 'task' and target = :owner and due_at >= :from and due_at < :until
    and state in ('waiting', 'held', 'sending', 'done', 'unknown')

-- name: last_of_two: when the last fact of each of two kinds happened
select max(case when kind = :one then at end) as first_at, max(case when kind = :other then at end) as then_at
from facts where customer_id = :customer_id and kind in (:one, :other) and at <= :now

-- name: owner
select owner from customers where id = :customer_id

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
where customer_id = :customer_id and play <> '' and state not in ('refused', 'replaced', 'failed')
group by play

-- name: refuse
insert into refusals (id, customer_id, effect_id, play, rule, reason, at, outcome)
values (:id, :customer_id, :effect_id, :play, :rule, :reason, :at, :outcome)

-- name: waits_already: whether it is recorded that this rule holds this effect
select 1 as noted from refusals where effect_id = :effect_id and rule = :rule and outcome = 'waits' limit 1

-- name: suppress
insert into suppressions (address_hash, reason, at) values (:address_hash, :reason, :at)
on conflict (address_hash) do nothing

-- name: set_switch
insert into switches (name, value, at) values (:name, :value, :at)
on conflict (name) do update set value = excluded.value, at = excluded.at
