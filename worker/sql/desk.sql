-- What people decide: messages that wait for a yes, signed links, and what an address wants to read.

-- name: waiting_approvals: the newest first
select a.effect_id, a.why, a.asked_at, e.id, e.customer_id, c.name, e.kind, e.play, e.step, e.target, e.payload, e.state,
    e.created_at, e.due_at, coalesce(g.why, '') as because
from approvals a
join effects e on e.id = a.effect_id
join customers c on c.id = e.customer_id
left join changes g on g.id = e.change_id
where a.decided_at is null and e.state = 'asked'
order by a.asked_at desc, a.effect_id desc
limit :most

-- name: how_many_wait
select count(*) as n from approvals a join effects e on e.id = a.effect_id
where a.decided_at is null and e.state = 'asked'

-- name: approval
select a.effect_id, a.why, a.asked_at, a.decided_at, a.decision, a.by, a.note, a.subject, a.body,
    e.id, e.customer_id, c.name, e.kind, e.play, e.step, e.target, e.payload, e.state, e.created_at, e.due_at, e.reason,
    coalesce(g.why, '') as because
from approvals a
join effects e on e.id = a.effect_id
join customers c on c.id = e.customer_id
left join changes g on g.id = e.change_id
where a.effect_id = :effect_id

-- name: decide: once
update approvals set decided_at = :now, decision = :decision, by = :by, note = :note, subject = :subject, body = :body
where effect_id = :effect_id and decided_at is null

-- name: let_leave: a later step of a play still waits for its day
update effects set state = 'waiting', due_at = case when due_at > :now then due_at else :now end
where id = :effect_id and state = 'asked'

-- name: turn_down
update effects set state = 'refused', finished_at = :now, reason = :reason where id = :effect_id and state = 'asked'

-- name: in_pool: the newest first; a page goes on behind an id
select e.id, e.customer_id, c.name, e.kind, e.play, e.step, e.target, e.payload, e.state, e.created_at, e.due_at,
    coalesce(g.why, '') as because
from effects e
join customers c on c.id = e.customer_id
left join changes g on g.id = e.change_id
where e.state = :state and (:first = 1 or e.id < :id)
order by e.id desc
limit :most

-- name: pool: what lies there, by kind
select kind, play, count(*) as n from effects where state = :state group by kind, play order by kind, play

-- name: held: the first of a play, or of none, that wait for their kind to be released
select e.id, e.customer_id, c.name, e.kind, e.play, e.step, e.target, e.payload, e.state, e.created_at, e.due_at,
    coalesce(g.why, '') as because
from effects e
join customers c on c.id = e.customer_id
left join changes g on g.id = e.change_id
where e.state = 'held' and e.play = :play and e.kind <> 'standing'
order by e.id
limit :most

-- name: refusals: what was not done or waits, the newest first; a page goes on behind an id
select f.id, f.at, f.rule, f.reason, f.play, f.outcome, f.customer_id, c.name
from refusals f join customers c on c.id = f.customer_id
where (:rule = '' or f.rule = :rule) and (:first = 1 or f.id < :id)
order by f.id desc
limit :most

-- name: rules
select rule, count(*) as n from refusals group by rule order by rule

-- name: use_link: once
insert into deeds (token_hash, deed, subject, by, at) values (:token_hash, :deed, :subject, :by, :now)
on conflict (token_hash) do nothing

-- name: used_link
select deed, by, at from deeds where token_hash = :token_hash

-- name: snooze
insert into snoozes (customer_id, until, by, at) values (:customer_id, :until, :by, :now)
on conflict (customer_id) do update set until = excluded.until, by = excluded.by, at = excluded.at

-- name: snoozed: who is kept out of the morning message
select customer_id, until, by, at from snoozes where until > :now order by customer_id

-- name: end_snooze
delete from snoozes where customer_id = :customer_id

-- name: preference: what an address has said against a mail of this purpose and topic; an `until` of null is for good
select topic, until from preferences
where address_hash = :address_hash and (until is null or until > :now)
    and :purpose <> 'transactional' and topic in ('', :purpose, :topic)
order by case when until is null then 0 else 1 end, until desc, topic
limit 1

-- name: preferences_of
select topic, until, at from preferences where address_hash = :address_hash and (until is null or until > :now)
order by topic

-- name: prefer
insert into preferences (address_hash, topic, until, at) values (:address_hash, :topic, :until, :now)
on conflict (address_hash, topic) do update set until = excluded.until, at = excluded.at

-- name: want_again
delete from preferences where address_hash = :address_hash and topic = :topic

-- name: stopped
select reason, at from suppressions where address_hash = :address_hash

-- name: start_again: takes back what the address itself has asked for, and no complaint or bounce that came since
delete from suppressions
where address_hash = :address_hash and reason = :reason and not exists (
    select 1 from mail_events
    where address = :address and (word in ('complained', 'unsubscribed') or (word = 'bounced' and final = 1))
        and mail_events.at >= suppressions.at
)
