-- What came back of the mails that were sent: of one play, or of all where :play is ''.

-- name: mailed
select count(*) as n from effects
where lane = 'mail' and state = 'done' and finished_at > :since and (play = :play or :play = '')

-- name: complained: people, not complaints: somebody may call several mails spam before the first is told
select count(distinct v.address) as n
from mail_events v left join effects e on e.id = v.effect_id
where v.word = 'complained' and v.at > :since and (e.play = :play or :play = '')

-- name: newest_mails: how many of the last :most of a play came back for good
select cast(count(*) as bigint) as newest, cast(coalesce(sum(gone), 0) as bigint) as bounced
from (
    select case when exists (
            select 1 from mail_events v where v.effect_id = e.id and v.word = 'bounced' and v.final = 1
        ) then 1 else 0 end as gone
    from effects e
    where e.lane = 'mail' and e.state = 'done' and e.play = :play and e.finished_at > :since
    order by e.finished_at desc, e.id desc
    limit :most
) as newest

-- name: plays_mailed
select distinct play from effects
where lane = 'mail' and state = 'done' and finished_at > :since and play <> ''
order by play

-- name: lifted: what a switch says, and since when
select value, at from switches where name = :name

-- name: settle: a stop is noted once, with the moment it was seen
insert into switches (name, value, at) values (:name, :value, :at)
on conflict (name) do update set value = excluded.value, at = excluded.at where switches.value = ''
