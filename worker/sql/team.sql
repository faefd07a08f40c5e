-- What our own people are told: the morning message, and what customers lack, for the product team.

-- name: last_told: until when somebody has been told of what changed
select max(told_at) as at from mornings where who = :who and state = 'done'

-- name: claim_morning: once a person and day; one that could not be sent waits
insert into mornings (who, day, state, told_at, sending_since)
values (:who, :day, 'sending', :now, :now)
on conflict (who, day) do update
set state = 'sending', told_at = excluded.told_at, sending_since = excluded.sending_since,
    attempts = mornings.attempts + 1
where mornings.state = 'waiting' and mornings.due_at <= excluded.sending_since

-- name: finish_morning
update mornings set state = :state, due_at = :due_at, reason = :reason
where who = :who and day = :day and state = 'sending'

-- name: stranded_mornings
update mornings set state = 'unknown', reason = 'interrupted while it was being sent; nobody can know'
where state = 'sending' and sending_since <= :before

-- name: mornings_of: of one day
select who, state, due_at, reason from mornings where day = :day order by who

-- name: mornings_in_doubt
select who, day, state, reason from mornings
where day >= :day and (state in ('unknown', 'failed') or (state = 'waiting' and day < :today))
order by day, who

-- name: turned: every change since, of each customer in its order
select g.customer_id, c.name, c.owner, g.at, g.old_band, g.new_band, g.why
from changes g join customers c on c.id = g.customer_id
where g.at > :since and g.at <= :now and c.merged_into is null
order by g.customer_id, g.at, g.id

-- name: tasks: those that we gave to people and that nobody has done, as far as the desk tells
select e.id, coalesce(c.merged_into, c.id) as customer_id, c.name, e.target, e.payload
from effects e join customers c on c.id = e.customer_id
where e.lane = 'task' and e.state = 'done' and e.created_at > :since
    and not exists (
        select 1 from facts f
        where f.source = :source and f.source_id = 'task:' || e.reference || ':done'
    )
order by e.id

-- name: customer
select id, name, owner from customers where id = :id

-- name: lacking: what those lack for whom a play was set off since, by kind and label, the commonest first
select f.kind, f.label, count(distinct f.customer_id) as customers, count(*) as n from facts f
where f.kind = :kind and f.at > :since and f.at <= :now
    and f.customer_id in (
        select coalesce(c.merged_into, c.id) from firings g join customers c on c.id = g.customer_id
        where g.play = :play and g.at > :fired and g.at <= :now
    )
group by f.kind, f.label
having count(distinct f.customer_id) >= :at_least
order by customers desc, n desc, f.label

-- name: set_off: how many customers a play was set off for
select count(distinct coalesce(c.merged_into, c.id)) as customers
from firings g join customers c on c.id = g.customer_id
where g.play = :play and g.at > :fired and g.at <= :now
