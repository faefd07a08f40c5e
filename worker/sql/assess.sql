-- Stations 2 and 3 joined: who is due, and that they were looked at.

-- name: due: whoever may be due, the next so many by id; with `everyone` 1 whoever there is
select c.id, c.name, c.owner, c.time_zone, t.assessed_at, t.heard, s.version,
    case when d.customer_id is null then 0 else 1 end as dirty
from customers c
    left join standings t on t.customer_id = c.id
    left join dirty d on d.customer_id = c.id
    left join scores s on s.id = t.score_id
where c.id > :after and c.merged_into is null and c.first_at <= :now
    and (:everyone = 1 or d.customer_id is not null or t.assessed_at is null or t.assessed_at < :turned)
order by c.id
limit :most

-- name: zones
select distinct time_zone from customers

-- name: clean
delete from dirty where customer_id = :customer_id

-- name: looked_at
update standings set assessed_at = :now, heard = :heard where customer_id = :customer_id and assessed_at <= :now

-- name: wait_for_backfill
insert into backfill (customer_id) values (:customer_id) on conflict (customer_id) do nothing

-- name: no_backfill
delete from backfill where customer_id = :customer_id
