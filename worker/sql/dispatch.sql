-- Station 4: the outbox, what was sent, and the journal of what was written.

-- name: put_effect
insert into effects
    (id, key, lane, kind, customer_id, target, change_id, play, step, payload, state, created_at, due_at)
values
    (:id, :key, :lane, :kind, :customer_id, :target, :change_id, :play, :step, :payload, :state, :now, :due_at)
on conflict (key) do nothing

-- name: claim
update effects set state = 'sending', sending_since = :now, attempts = attempts + 1
where id = (
    select id from effects
    where lane = :lane and state = 'waiting' and due_at <= :now
    order by due_at, id
    limit 1 {skip_locked}
)
returning id, key, lane, kind, customer_id, change_id, play, payload, attempts, created_at

-- name: claim_all
update effects set state = 'sending', sending_since = :now, attempts = attempts + 1
where id in (
    select id from effects
    where lane = :lane and state = 'waiting' and due_at <= :now
    order by due_at, id
    limit :most {skip_locked}
)
returning id, key, lane, kind, customer_id, change_id, play, payload, attempts, created_at

-- name: claim_this
update effects set state = 'sending', sending_since = :now, attempts = attempts + 1
where id = :id and state = 'waiting' and due_at <= :now
returning id, key, lane, kind, customer_id, change_id, play, payload, attempts, created_at

-- name: due
select id, target from effects
where lane = :lane and state = 'waiting' and due_at <= :now
order by due_at, id
limit :most

-- name: newer_standing
select id from effects
where kind = 'standing' and target = :contact_id and id > :id and state in ('waiting', 'sending', 'done', 'undone')
limit 1

-- name: finish
update effects set state = :state, finished_at = :now, reason = :reason, reference = :reference
where id = :id and state = 'sending'

-- name: postpone
update effects set state = 'waiting', due_at = :until, reason = :reason
where id = :id and state = 'sending'

-- name: hold: what was not even tried has its attempt back
update effects set state = 'waiting', due_at = :until, reason = :reason, attempts = attempts - 1
where id = :id and state = 'sending'

-- name: stranded
select id, lane, key from effects where state = 'sending' and sending_since <= :before order by id

-- name: keep_message
insert into messages
    (id, effect_id, customer_id, email, play, purpose, template, subject, body, basis, sent_at)
values (:id, :effect_id, :customer_id, :email, :play, :purpose, :template, :subject, :body, :basis, :sent_at)
on conflict (effect_id) do nothing

-- name: snapshot
insert into snapshots (source, contact_id, at, tags, fields) values (:source, :contact_id, :at, :tags, :fields)
on conflict (source, contact_id) do nothing

-- name: journal
insert into journal (id, run_id, source, contact_id, what, name, before, after, at, state)
values (:id, :run_id, :source, :contact_id, :what, :name, :before, :after, :at, 'intended')

-- name: journal_done
update journal set state = :state, reason = :reason where id = :id

-- name: journal_of_run
select id, source, contact_id, what, name, before, after, state from journal
where run_id = :run_id and state in ('written', 'intended') and undone_at is null
order by id desc

-- name: undone
update journal set undone_at = :now where id = :id

-- name: shown
select payload, state from effects
where kind = 'standing' and target = :contact_id and state in ('waiting', 'sending', 'done', 'undone')
order by id desc limit 1

-- name: undo_shown
update effects set state = 'undone'
where kind = 'standing' and target = :contact_id and state = 'done'
