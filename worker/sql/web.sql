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

-- name: last_turn
select max(coalesce(finished_at, started_at)) as at from runs
