-- The doors: keys, links and sessions, and what pages and API read.

-- name: add_key
insert into api_keys (id, name, key_hash, created_at) values (:id, :name, :key_hash, :now)

-- name: keys
select id, name, created_at, revoked_at from api_keys order by created_at, id

-- name: revoke_key
update api_keys set revoked_at = :now where id = :id and revoked_at is null

-- name: key_in_use
select id, name from api_keys where key_hash = :key_hash and revoked_at is null

-- name: add_link
insert into switches (name, value, at) values (:name, 'unused', :now)

-- name: link
select at from switches where name = :name and at > :oldest

-- name: redeem_link
delete from switches where name = :name and at > :oldest

-- name: drop_old_links: those whose time is over; ':' and ';' are neighbours, so this is every name with the prefix
delete from switches where name >= 'login_link:' and name < 'login_link;' and at <= :before

-- name: begin_session
insert into sessions (id_hash, csrf, created_at, seen_at) values (:id_hash, :csrf, :now, :now)

-- name: session
select id_hash, csrf, created_at, seen_at from sessions
where id_hash = :id_hash and seen_at > :idle_since and created_at > :begun_since

-- name: touch_session
update sessions set seen_at = :now where id_hash = :id_hash

-- name: end_session
delete from sessions where id_hash = :id_hash

-- name: drop_old_sessions
delete from sessions where seen_at <= :idle_since or created_at <= :begun_since

-- name: same_id_other_body
select id from deliveries
where source = :source and stream = :stream and external_id = :external_id and body_hash <> :body_hash
limit 1

-- name: last_turn: the end of the last one that came to its end; the beginning of the first where none ever did
select coalesce(
    (select finished_at from runs where finished_at is not null and kind not in ('pull', 'write-back') order by id desc limit 1),
    (select started_at from runs order by id limit 1)
) as at

-- name: mailed_to
select target from effects where id = :id and kind in ('mail', 'sms') and target <> ''

-- name: customer
select c.id, c.name, c.owner, c.time_zone, t.band, t.since, t.waiting, t.assessed_at,
    s.id as score_id, s.at, s.version, s.score, s.coverage, s.detail, s.run_id, s.band as cut,
    (
        select i.external_id from identities i
        where i.customer_id = c.id and i.source = 'keap' and i.gone_at is null
        order by length(i.external_id), i.external_id limit 1
    ) as keap_contact_id,
    (
        select i.external_id from identities i
        where i.customer_id = c.id and i.source = 'stripe' and i.gone_at is null
        order by i.at, i.external_id limit 1
    ) as stripe_customer_id,
    coalesce((
        select m.email from crm_contacts m join identities i on i.id = m.identity_id
        where i.customer_id = c.id and i.gone_at is null and m.email <> ''
        order by length(m.contact_id), m.contact_id limit 1
    ), (
        select p.email from people p join identities i on i.id = p.identity_id
        where p.customer_id = c.id and i.gone_at is null and p.email <> ''
        order by case p.role when 'main' then 0 else 1 end, p.at desc, p.email limit 1
    ), (
        select i.external_id from identities i
        where i.customer_id = c.id and i.source = 'email' and i.gone_at is null
        order by i.at, i.external_id limit 1
    ), '') as email
from customers c
left join standings t on t.customer_id = c.id
left join scores s on s.id = t.score_id
where c.id = :id

-- name: listed_by_change: those whose band turned last first; a page goes on after (since, id)
select c.id, coalesce(t.since, 0) as place
from customers c
left join standings t on t.customer_id = c.id
where c.merged_into is null
    and (:band = '' or t.band = :band)
    and (:q = '' or lower(c.name) like :lowered escape '!' or c.name like :pattern escape '!' or c.id in (
        select p.customer_id from people p where p.email like :lowered escape '!'
    ))
    and (:first = 1 or coalesce(t.since, 0) < :since or (coalesce(t.since, 0) = :since and c.id < :id))
order by coalesce(t.since, 0) desc, c.id desc
limit :most

-- name: listed_by_name: a page goes on after (name, id)
select c.id, c.name as place
from customers c
left join standings t on t.customer_id = c.id
where c.merged_into is null
    and (:band = '' or t.band = :band)
    and (:q = '' or lower(c.name) like :lowered escape '!' or c.name like :pattern escape '!' or c.id in (
        select p.customer_id from people p where p.email like :lowered escape '!'
    ))
    and (:first = 1 or c.name > :name or (c.name = :name and c.id > :id))
order by c.name, c.id
limit :most

-- name: listed_changes: newest first; a page goes on after (at, id)
select g.id, g.customer_id, g.at, g.old_band, g.new_band, g.why, g.version, c.name, s.score,
    coalesce((
        select p.email from people p join identities i on i.id = p.identity_id
        where p.customer_id = c.id and i.gone_at is null and p.email <> ''
        order by case p.role when 'main' then 0 else 1 end, p.at desc, p.email limit 1
    ), '') as email
from changes g
join customers c on c.id = g.customer_id
join scores s on s.id = g.score_id
where :first = 1 or g.at < :at or (g.at = :at and g.id < :id)
order by g.at desc, g.id desc
limit :most

-- name: bands
select t.band, t.customer_id from standings t
join customers c on c.id = t.customer_id
where c.merged_into is null

-- name: not_scored
select count(*) as n from customers c
left join standings t on t.customer_id = c.id
where c.merged_into is null and t.customer_id is null

-- name: done_since
select kind, state, play, count(*) as n from effects
where finished_at > :since and state in ('done', 'failed', 'unknown')
group by kind, state, play order by kind, n desc, play, state

-- name: refused_since
select rule, min(reason) as reason, count(*) as n from refusals
where at > :since
group by rule order by count(*) desc, rule

-- name: waiting_effects
select count(*) as n from effects where state = 'waiting'

-- name: broken_pulls
select source, stream, succeeded_at, failed_at, reason from cursors
where failed_at is not null and (succeeded_at is null or failed_at >= succeeded_at)
order by source, stream

-- name: parked
select source, stream, error, count(*) as n, max(received_at) as at from deliveries
where parsed_at is null and attempts > 0
group by source, stream, error order by n desc, source, stream, error
limit 20

-- name: interrupted
select e.id, e.target, e.customer_id, c.name from effects e
join customers c on c.id = e.customer_id
where e.state = 'unknown' order by e.id
limit 20

-- name: people
select p.email, p.name, p.role, max(p.at) as at from people p
join identities i on i.id = p.identity_id
where p.customer_id = :id and i.gone_at is null and p.email <> ''
group by p.email, p.name, p.role
order by case p.role when 'main' then 0 when 'billing' then 1 else 2 end, p.email, p.name

-- name: opt_ins
select m.email, m.opt_in, m.may_mail from crm_contacts m
join identities i on i.id = m.identity_id
where i.customer_id = :id and i.gone_at is null
order by m.email, m.contact_id

-- name: identities
select source, external_id, via, at, gone_at from identities
where customer_id = :id and source <> 'email'
order by source, external_id

-- name: effects
select e.id, e.kind, e.target, e.play, e.payload, e.state, e.created_at, e.due_at, e.finished_at, e.reason,
    m.subject, m.body, m.basis
from effects e
left join messages m on m.effect_id = e.id
where e.customer_id = :id
order by e.created_at desc, e.id desc
limit :most

-- name: refusals
select play, rule, reason, max(at) as at, count(*) as n from refusals
where customer_id = :id
group by play, rule, reason order by max(at) desc, play, rule, reason
limit :most

-- name: recent_facts
select kind, cast(sum(n) as bigint) as n, max(last_at) as last_at from rollup
where customer_id = :id and day > :since and day <= :today
group by kind order by max(last_at) desc, kind

-- name: last_reading: the newest value of a kind, for kinds that are answers
select label, last_value, last_at from rollup
where customer_id = :id and kind = :kind and day <= :today
order by day desc, last_at desc, label limit 1

-- name: soil
insert into dirty (customer_id, since, urgent) values (:id, :now, 0) on conflict (customer_id) do nothing

-- name: link_target
select l.effect_id, l.target, e.target as address from links l join effects e on e.id = l.effect_id where l.id = :id
