-- Hold-outs: who is in which arm, and what a play's past says of how long an answer takes.

-- name: arm
select arm, at from trials where play = :play and customer_id = :customer_id

-- name: assign: the first word stays
insert into trials (play, customer_id, arm, at, occasion) values (:play, :customer_id, :arm, :at, :occasion)
on conflict (play, customer_id) do nothing

-- name: arms: who was drawn before :since, and who has been merged away, is told apart
select case when t.at < :since then 'earlier' when c.merged_into is not null then 'merged' else t.arm end as arm,
    count(*) as n
from trials t join customers c on c.id = t.customer_id
where t.play = :play
group by case when t.at < :since then 'earlier' when c.merged_into is not null then 'merged' else t.arm end
order by 1

-- name: switched_on: the switches of one family, those that are set; `after` is the name behind the last of them
select name, value, at from switches where name >= :from and name < :after and value <> '' order by name

-- name: first_pass
select at from switches where name = 'first_pass' and value <> ''

-- name: set_off: for how many customers a play was set off for the first time after a moment, done or refused
select count(*) as n from (
    select customer_id, min(at) as at from (
        select customer_id, created_at as at from effects where play = :play
        union all
        select customer_id, at from refusals where play = :play
    ) as occasions
    group by customer_id
) as firsts
where at > :since

-- name: stayed: of those it was set off for long enough ago, how many had not left within :days days
select count(*) as n, cast(coalesce(sum(stays), 0) as bigint) as stayed
from (
    select case when exists (
            select 1 from facts f
            where f.customer_id = o.customer_id and f.kind = 'left' and f.at > o.at and f.at <= o.at + :days * 86400
        ) then 0 else 1 end as stays
    from (
        select customer_id, min(at) as at from (
            select customer_id, created_at as at from effects where play = :play
            union all
            select customer_id, at from refusals where play = :play
        ) as occasions
        group by customer_id
    ) as o
    where o.at <= :until
) as firsts
