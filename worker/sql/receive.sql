-- Station 1, the front door: deliveries as they are committed together.

-- name: add_delivery
insert into deliveries (id, source, stream, external_id, body_hash, body, received_at)
values (:id, :source, :stream, :external_id, :body_hash, :body, :received_at)
on conflict (source, stream, external_id, body_hash) do nothing

-- name: stored_between
select id from deliveries where id >= :lowest and id <= :highest

-- name: first_of
select id from deliveries
where source = :source and stream = :stream and external_id = :external_id and body_hash = :body_hash
