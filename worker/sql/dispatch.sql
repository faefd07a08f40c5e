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

-- name: alerts_alike: of how many customers the same cause has something to tell, that of one claimed among them
select count(distinct customer_id) as n from effects
where lane = 'alert' and (id = :id or (
    state = 'waiting' and due_at <= :now and play = :play
    and (play <> '' or substr(key, 1, length(cast(:prefix as text))) = :prefix)
))

-- name: claim_alike: of each customer the first that waits
update effects set state = 'sending', sending_since = :now, attempts = attempts + 1
where id in (
    select e.id from effects e
    where e.lane = 'alert' and e.state = 'waiting' and e.due_at <= :now and e.play = :play
        and (e.play <> '' or substr(e.key, 1, length(cast(:prefix as text))) = :prefix)
        and not exists (
            select 1 from effects o
            where o.customer_id = e.customer_id and o.lane = e.lane and o.id < e.id and o.state in ('waiting', 'sending')
        )
    order by e.due_at, e.id
    limit :most {skip_locked}
)
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

-- name: ask: what a person is to see first has its attempt back
update effects set state = 'asked', reason = :reason, attempts = attempts - 1
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
where kind = 'standing' and target = :contact_id and state in ('waiting', 'sending', 'done', 'undone', 'draft')
order by id desc limit 1

-- name: drop_older_drafts
update effects set state = 'replaced', finished_at = :now, reason = 'a newer draft for the contact followed'
where kind = 'standing' and target = :contact_id and state = 'draft' and id <> :id

-- name: undo_shown
update effects set state = 'undone'
where kind = 'standing' and target = :contact_id and state = 'done'

-- name: backfill: whose tag waits, whether or not it has been released
select b.customer_id, b.due_at from backfill b join customers c on c.id = b.customer_id
where c.merged_into is null
order by b.customer_id

-- name: backfill_slot
update backfill set due_at = :due_at where customer_id = :customer_id

-- name: backfill_due
select b.customer_id from backfill b join customers c on c.id = b.customer_id
where b.due_at <= :now and c.merged_into is null
order by b.due_at, b.customer_id

-- name: backfill_released
select customer_id from backfill where due_at is not null order by due_at, customer_id

-- name: let_kind_go: what was held for this kind of act waits to leave
update effects set state = 'waiting', due_at = case when due_at > :now then due_at else :now end, reason = null
where state = 'held' and play = :play and kind <> 'standing'

-- name: release
insert into releases (kind, at, by) values (:kind, :now, :by) on conflict (kind) do nothing

-- name: releases
select kind, at, by from releases order by kind

-- name: pooled: what lies in a pool, the oldest first
select id, kind, target, play, customer_id, due_at, created_at, payload from effects
where state = :state order by id

-- name: expire_pooled
update effects set state = 'refused', finished_at = :now, reason = :reason
where id = :id and state in ('waiting', 'draft', 'held')

-- name: pooled_messages: the same, only what goes to customers
select id, kind, target, play, customer_id, payload from effects
where state = :state and lane in ('mail', 'sms') order by id

-- name: edits
select contact_id, what, name, ours, theirs, band, seen_at, ended_why from edits where source = :source
order by contact_id, what, name

-- name: put_edit: a newer one in the same place counts
insert into edits (source, contact_id, what, name, ours, theirs, band, seen_at)
values (:source, :contact_id, :what, :name, :ours, :theirs, :band, :now)
on conflict (source, contact_id, what, name) do update set
    ours = excluded.ours, theirs = excluded.theirs, band = excluded.band, seen_at = excluded.seen_at, ended_why = null

-- name: end_edit
update edits set ended_why = :why
where source = :source and contact_id = :contact_id and what = :what and name = :name and ended_why is null

-- name: forget_edit
delete from edits where source = :source and contact_id = :contact_id and what = :what and name = :name

-- name: edit_overwritten
delete from edits where source = :source and contact_id = :contact_id and what = :what and name = :name
    and ended_why is not null

-- name: take_back
update edits set ended_why = :why where source = :source and contact_id = :contact_id and ended_why is null

-- name: journal_of_contact: what our entries left on a contact, the newest first
select what, name, after, state from journal
where source = :source and contact_id = :contact_id and undone_at is null
order by id desc

-- name: last_done: the newest standing that was written to a contact
select payload from effects where kind = 'standing' and target = :contact_id and state = 'done'
order by id desc limit 1

-- name: mirrored: the contacts that are there, with whose they are
select c.contact_id, i.customer_id from crm_contacts c join identities i on i.id = c.identity_id
where c.source = :source and i.gone_at is null
order by c.contact_id

-- name: standings_now: of each contact the newest standing that was decided and counts
select target, payload, state from (
    select target, payload, state, row_number() over (partition by target order by id desc) as place
    from effects where kind = 'standing' and state in ('waiting', 'sending', 'done', 'undone')
) as newest
where place = 1
order by target

-- name: journal_standing: everything that was written and still stands
select id, source, contact_id, what, name, before, after, state from journal
where source = :source and state in ('written', 'intended') and undone_at is null
order by id desc

-- name: undo_all_shown
update effects set state = 'undone' where kind = 'standing' and state = 'done'

-- name: forget_edits
delete from edits where source = :source

-- name: backfill_all
insert into backfill (customer_id) select id from customers where merged_into is null
on conflict (customer_id) do update set due_at = null
