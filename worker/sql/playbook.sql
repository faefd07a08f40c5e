-- What plays did, would do, and what stood in the way.

-- name: customer
select name, time_zone from customers where id = :id

-- name: under_way
select id, kind, play, target, payload, state, due_at, reason from effects
where customer_id = :customer_id and kind <> 'standing' and state in ('waiting', 'sending', 'unknown', 'asked', 'held', 'draft')
order by due_at, id

-- name: lately: what was done, refused or held for one customer, the newest first
select at, play, what, rule, reason from (
    select r.at, r.play, 'not done' as what, r.rule, r.reason, r.id from refusals r
    where r.customer_id = :customer_id and r.at >= :since
    union all
    select e.finished_at as at, e.play, e.kind as what, '' as rule, coalesce(e.reason, '') as reason, e.id from effects e
    where e.customer_id = :customer_id and e.kind <> 'standing' and e.state = 'done' and e.finished_at >= :since
) as deeds
order by at desc, id desc

-- name: in_band
select c.id, c.name, t.since from standings t join customers c on c.id = t.customer_id
where t.band = :band and c.merged_into is null
order by t.since, c.name, c.id

-- name: acts_since: what answers a customer's trouble; an alert to the team is no answer yet
select id, kind, play, target, payload, state from effects
where customer_id = :customer_id and kind in ('mail', 'sms', 'task') and play <> '' and created_at >= :since
order by created_at desc, id desc

-- name: last_refusal
select play, rule, reason from refusals
where customer_id = :customer_id and at >= :since
order by at desc, id desc limit 1

-- name: set_off
select play, count(*) as n from firings where at >= :since group by play order by play

-- name: acted
select play, kind, count(*) as n from effects
where kind in ('mail', 'sms', 'task', 'alert') and play <> '' and state = 'done' and finished_at >= :since
group by play, kind order by play, kind

-- name: refused
select play, outcome, count(*) as n from refusals where at >= :since group by play, outcome order by play, outcome

-- name: by_rule
select rule, count(*) as n from refusals where at >= :since group by rule order by rule
