-- What commands and pages tell, and what a person does to a running workspace.

-- name: kinds_by_label
select kind, label, cast(sum(n) as bigint) as n from rollup
group by kind, label order by kind, label

-- name: customers_by_kind
select kind, count(distinct customer_id) as customers from rollup group by kind order by kind

-- name: attributes_by_value: of each customer the newest value, the commonest first
select name, value, cast(count(*) as bigint) as n
from (
    select name, value, row_number() over (partition by customer_id, name order by at desc, value desc) as place
    from attributes
) as newest
where place = 1 and value <> ''
group by name, value
order by name, n desc, value

-- name: kinds_heard
select distinct kind from rollup where first_at <= :as_of

-- name: customers_by
select id, name, time_zone from customers where merged_into is null and first_at <= :now order by id

-- name: newest_customers
select id from customers where merged_into is null order by first_at desc, id desc limit :most

-- name: find
select c.id from customers c where c.id = :word or c.name = :word
union
select i.customer_id from identities i where i.source = :source and i.external_id = :external_id
union
select p.customer_id from people p where p.email = :email
union
select i.customer_id from identities i where i.source = 'email' and i.external_id = :email

-- name: find_by_beginning
select id from customers where name >= :word and name < :after and merged_into is null order by name, id limit 5

-- name: customer
select name, owner, merged_into from customers where id = :id

-- name: begin_run
insert into runs (id, kind, started_at) values (:id, :kind, :now)

-- name: end_run
update runs set finished_at = :now, summary = :summary where id = :id

-- name: work_waits: whether there is something that the turn begun at `since` could not have seen, 0 for none yet
select 1 as waiting from deliveries
where parsed_at is null and attempts = 0 and (:pulled = 1 or stream = 'webhook' or source = 'api')
-- who has not turned yet also sees to what somebody left who died between what came in and what it means
union all select 1 from dirty where (urgent = 1 or :since = 0) and since >= :since
union all select 1 from backfill where due_at <= :now and due_at >= :since
limit 1

-- name: set_once: the first word stays
insert into switches (name, value, at) values (:name, :value, 0) on conflict (name) do nothing

-- name: pulls
select source, stream, succeeded_at, failed_at, reason from cursors order by source, stream

-- name: parked
select source, stream, error, count(*) as n from deliveries
where parsed_at is null and attempts > 0
group by source, stream, error order by n desc, source, stream, error

-- name: left_out
select source, stream, count(*) as n, max(error) as example from deliveries
where parsed_at is not null and error is not null and received_at >= :since
group by source, stream order by n desc, source, stream

-- name: interrupted
select id, target from effects where state = 'unknown' order by id

-- name: given_up
select lane, reason, count(*) as n from effects where state = 'failed' group by lane, reason order by n desc, lane, reason

-- name: doubts
select count(*) as n from doubts where settled_at is null

-- name: counters: those whose name begins with a word and ':'; `after` is the same word with ';', its neighbour
select name, n from counters where name >= :from and name < :after order by n desc, name

-- name: let_go
update effects set state = 'replaced', reason = :reason, finished_at = :now
where state in ('waiting', 'draft', 'held', 'asked')

-- name: let_held_go: the same, but for what had been released and goes on
update effects set state = 'replaced', reason = :reason, finished_at = :now
where state in ('draft', 'held')

-- name: runs_that_wrote
select j.run_id, min(j.at) as at, count(*) as entries,
    cast(sum(case when j.undone_at is null then 0 else 1 end) as bigint) as undone
from journal j where j.state = 'written'
group by j.run_id order by min(j.at) desc, j.run_id desc

-- name: bands_shown
select t.band, count(*) as n
from standings t join customers c on c.id = t.customer_id
where c.merged_into is null
group by t.band order by t.band

-- name: standing_customers
select count(*) as n from standings t join customers c on c.id = t.customer_id where c.merged_into is null

-- name: gate
select name, value from switches where name in ('mode', 'paused')
