-- Station 5: what a look-back reads. A fact is known from the later of its two moments on.

-- name: customers
select id, name, time_zone from customers where merged_into is null order by id

-- name: steps: how customers came and went; of one second the coming last: one subscription may replace another
select customer_id, kind, label, at, case when known_at > at then known_at else at end as known_at
from facts
where kind in ('left', 'joined', 'subscription') and (kind <> 'subscription' or value > 0) and at <= :now
order by customer_id, at, case when kind = 'left' then 0 else 1 end, label, id

-- name: first_known: since when anything is known of each
select customer_id, min(case when known_at > at then known_at else at end) as at
from facts
group by customer_id order by customer_id

-- name: kinds_known: since when each kind is known at all
select kind, min(case when known_at > at then known_at else at end) as at from facts group by kind order by kind

-- name: payments
select customer_id, label, at, value from facts
where kind = 'payment' and at > :since and at <= :now
order by customer_id, at, id

-- name: of_kind
select customer_id, at, case when known_at > at then known_at else at end as known_at from facts
where kind = :kind and at > :since and at <= :now
order by customer_id, at, id

-- name: runs: those that came to an end, with what they did
select finished_at, summary from runs where finished_at is not null and summary is not null order by finished_at, id

-- name: outages
select kinds, opened_at, ended_at from outages order by opened_at, id

-- name: last_heard
select max(at) as at from facts where at <= :now
