-- The source guard: volumes, outages and notices.

-- name: add_volume
insert into volumes (source, kind, day, n) values (:source, :kind, :day, :n)
on conflict (source, kind, day) do update set n = volumes.n + excluded.n

-- name: clear_volumes
delete from volumes

-- name: facts_by_quarter: since 1972 every zone's days begin at a whole quarter of an hour
select source, kind, at / 900 as quarter, count(*) as n from facts
group by source, kind, at / 900
order by source, kind, at / 900

-- name: volumes_since
select kind, day, n from volumes where source = :source and day >= :since and n > 0 order by kind, day

-- name: unread: whether pulls of a source have brought pages that nobody has tried to read yet
select 1 as waiting from deliveries
where parsed_at is null and attempts = 0 and source = :source and stream <> 'webhook' and source <> 'api'
limit 1

-- name: open_outages
select id, source, kinds, why, seen, began_at, opened_at, noticed_at, ended_at, heard from outages
where ended_at is null
order by source

-- name: ended_since
select id, source, kinds, why, seen, began_at, opened_at, noticed_at, ended_at, heard from outages
where ended_at >= :since and noticed_at is not null
order by ended_at, source

-- name: returned_since: suspicions that came to nothing too, since they held things up as well
select id, source, kinds, why, seen, began_at, opened_at, noticed_at, ended_at, heard from outages
where ended_at >= :since
order by ended_at, source

-- name: outage
select id, source, kinds, why, seen, began_at, opened_at, noticed_at, ended_at, heard from outages where id = :id

-- name: outages_of
select kinds, why, began_at, ended_at from outages
where source = :source and why in ('low', 'high')
    and (ended_at is null or (ended_at >= :since and noticed_at is not null))
order by began_at

-- name: open_outage
insert into outages (id, source, kinds, why, seen, began_at, opened_at, noticed_at, heard)
values (:id, :source, :kinds, :why, :seen, :began_at, :now, :noticed_at, :heard)
on conflict do nothing

-- name: follow_outage
update outages set kinds = :kinds, noticed_at = cast(:noticed_at as bigint)
where id = :id and ended_at is null

-- name: end_outage
update outages set ended_at = :now where id = :id and ended_at is null

-- name: bookmark: the first of a day stays
insert into bookmarks (source, stream, day, value)
select c.source, c.stream, cast(:day as bigint), c.value from cursors c
where c.source = :source and c.value is not null
on conflict (source, stream, day) do nothing

-- name: forget_bookmarks
delete from bookmarks where day < :before

-- name: rewind: to where each pull stood on the last day before the one that is given
update cursors
set value = (
    select b.value from bookmarks b
    where b.source = cursors.source and b.stream = cursors.stream and b.day < :day
    order by b.day desc limit 1
)
where source = :source and exists (
    select 1 from bookmarks o where o.source = cursors.source and o.stream = cursors.stream and o.day < :day
)

-- name: put_notice
insert into notices (key, title, text, created_at, state) values (:key, :title, :text, :now, 'waiting')
on conflict (key) do nothing

-- name: claim_notice
update notices set state = 'sending', sending_since = :now
where key = (select min(n.key) from notices n where n.state = 'waiting') and state = 'waiting'
returning key, title, text

-- name: finish_notice
update notices set state = :state, sent_at = cast(:sent_at as bigint), reason = :reason
where key = :key and state = 'sending'

-- name: past_notice: what it was about is over
update notices set state = 'past' where key = :key and state = 'waiting'

-- name: stranded_notices
update notices set state = 'unknown', reason = 'interrupted while it was being sent; nobody can know'
where state = 'sending' and sending_since <= :before

-- name: notices_in_doubt
select key, title, state, reason from notices where state in ('unknown', 'failed') order by created_at, key
