-- Station 5: what a look-back reads. A fact is known from the later of its moments on; what it said before it was
-- mended, until then.

-- name: customers
select id, name, time_zone from customers where merged_into is null order by id

-- name: steps: how customers came and went; of one second the coming last: one subscription may replace another
select customer_id, kind, label, at,
    case when mended_at > at and mended_at > known_at then mended_at when known_at > at then known_at else at end as known_at
from facts
where kind in ('left', 'joined', 'subscription') and (kind <> 'subscription' or value > 0) and at <= :now
order by customer_id, at, case when kind = 'left' then 0 else 1 end, label, id

-- name: former_steps: the same by what was mended since, as long as it stood
select f.customer_id, o.kind, o.label, o.at, case when o.known_at > o.at then o.known_at else o.at end as known_at, o.until
from former_facts o join facts f on f.id = o.fact_id
where o.kind in ('left', 'joined', 'subscription') and (o.kind <> 'subscription' or o.value > 0) and o.at <= :now
order by f.customer_id, o.at, case when o.kind = 'left' then 0 else 1 end, o.label, f.id, o.until

-- name: first_known: since when anything is known of each
select customer_id, min(at) as at from (
    select customer_id, case when known_at > at then known_at else at end as at from facts where mended_at = 0
    union all
    select customer_id, case when mended_at > at then mended_at else at end as at from facts where mended_at > 0
    union all
    select f.customer_id, case when o.known_at > o.at then o.known_at else o.at end as at
    from former_facts o join facts f on f.id = o.fact_id where o.until > o.at
) as heard
group by customer_id order by customer_id

-- name: kinds_known: since when each kind is known at all
select kind, min(at) as at from (
    select kind, case when known_at > at then known_at else at end as at from facts where mended_at = 0
    union all
    select kind, case when mended_at > at then mended_at else at end as at from facts where mended_at > 0
    union all
    select o.kind, case when o.known_at > o.at then o.known_at else o.at end as at
    from former_facts o join facts f on f.id = o.fact_id where o.until > o.at
) as heard
group by kind order by kind

-- name: payments
select customer_id, label, at, value from facts
where kind = 'payment' and at > :since and at <= :now
order by customer_id, at, id

-- name: of_kind: by their first words, since a fact that is mended is no news
select customer_id, at, case when known_at > at then known_at else at end as known_at from (
    select customer_id, id, at, known_at from facts
    where kind = :kind and at > :since and at <= :now and mended_at = 0
    union all
    select f.customer_id, f.id, o.at, o.known_at from former_facts o join facts f on f.id = o.fact_id
    where o.kind = :kind and o.at > :since and o.at <= :now and o.known_at = f.known_at
) as news
order by customer_id, at, id

-- name: runs: those that came to an end, with what they did
select finished_at, summary from runs where finished_at is not null and summary is not null order by finished_at, id

-- name: outages
select kinds, opened_at, ended_at from outages order by opened_at, id

-- name: last_heard
select max(at) as at from facts where at <= :now
