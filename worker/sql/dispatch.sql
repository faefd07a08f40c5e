-- Station 4: the outbox, what was sent, and the journal of what was written.

-- name: put_effect
insert into effects
    (id, key, lane, kind, customer_id, target, change_id, play, step, payload, state, created_at, due_at)
values
    (:id, :key, :lane, :kind, :customer_id, :target, :change_id, :play, :step, :payload, :state, :now, :due_at)
on conflict (key) do nothing

-- name: claim: of one customer in the order in which they were put
update effects set state = 'sending', tried_at = sending_since, sending_since = :now, attempts = attempts + 1
where id = (
    select e.id from effects e
    where e.lane = :lane and e.state = 'waiting' and e.due_at <= :now
        and not exists (
            select 1 from effects o
            where o.customer_id = e.customer_id and o.lane = e.lane and o.id < e.id
                and o.state in ('waiting', 'sending') and (e.lane = 'alert' or o.play = e.play)
        )
    order by e.due_at, e.id
    limit 1 {skip_locked}
)
returning id, key, lane, kind, customer_id, change_id, play, payload, attempts, created_at, tried_at

-- name: claim_all
update effects set state = 'sending', tried_at = sending_since, sending_since = :now, attempts = attempts + 1
where id in (
    select id from effects
    where lane = :lane and state = 'waiting' and due_at <= :now
    order by due_at, id
    limit :most {skip_locked}
)
returning id, key, lane, kind, customer_id, change_id, play, payload, attempts, created_at, tried_at

-- name: claim_letter: one at a time to a customer and to an address, and the steps of a play in their order
update effects set state = 'sending', tried_at = sending_since, sending_since = :now, attempts = attempts + 1
where id = :id and state = 'waiting' and due_at <= :now
    and not exists (
        select 1 from effects o
        where o.state = 'sending' and o.lane in ('mail', 'sms')
            and (o.customer_id = effects.customer_id or o.target = effects.target)
    )
    and not exists (
        select 1 from effects o
        where o.customer_id = effects.customer_id and o.lane = effects.lane and o.play = effects.play and o.play <> ''
            and o.id < effects.id and effects.due_at > :stale
            and (o.state in ('waiting', 'sending') or (effects.step <> '' and o.state in ('held', 'asked')))
    )
returning id, key, lane, kind, customer_id, change_id, play, payload, attempts, created_at, tried_at

-- name: letters_due: those that could be claimed now
select e.id, e.target from effects e
where e.lane = :lane and e.state = 'waiting' and e.due_at <= :now
    and not exists (
        select 1 from effects o
        where o.state = 'sending' and o.lane in ('mail', 'sms')
            and (o.customer_id = e.customer_id or o.target = e.target)
    )
    and not exists (
        select 1 from effects o
        where o.customer_id = e.customer_id and o.lane = e.lane and o.play = e.play and o.play <> ''
            and o.id < e.id and e.due_at > :stale
            and (o.state in ('waiting', 'sending') or (e.step <> '' and o.state in ('held', 'asked')))
    )
order by e.due_at, e.id
limit :most

-- name: alerts_alike: of how many customers the same cause has something to tell, that of one claimed among them
select count(distinct customer_id) as n from effects
where lane = 'alert' and (id = :id or (
    state = 'waiting' and due_at <= :now and play = :play
    and (play <> '' or substr(key, 1, length(cast(:prefix as text))) = :prefix)
))

-- name: claim_alike: of each customer the first that waits
update effects set state = 'sending', tried_at = sending_since, sending_since = :now, attempts = attempts + 1
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
returning id, key, lane, kind, customer_id, change_id, play, payload, attempts, created_at, tried_at

-- name: due
select id, target from effects
where lane = :lane and state = 'waiting' and due_at <= :now
order by due_at, id
limit :most

-- name: lane_waits: whether there is anything to do in a lane
select 1 as waiting from effects where lane = :lane and state = 'waiting' and due_at <= :now
union all select 1 from effects where lane = :lane and state = 'sending' and sending_since <= :stranded
union all select 1 from effects
where lane = :lane and state = 'unknown' and sending_since <= :settled
    and (asked_at is null or (:now - asked_at >= :pause and :now - asked_at >= asked_at - sending_since))
limit 1

-- name: notices_wait
select 1 as waiting from notices where state = 'waiting' limit 1

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

-- name: stranded: with the attempt of which a letter was last handed over, and when one first was
select e.id, e.attempts, e.sending_since, h.attempt, h.first_at
from effects e left join handed_over h on h.effect_id = e.id
where e.lane = :lane and e.state = 'sending' and e.sending_since <= :before
order by e.id

-- name: hand_over: the first time stays
insert into handed_over (effect_id, attempt, first_at, at, message_id, sender, subject, body, html, basis, mail)
values (:effect_id, :attempt, :now, :now, :message_id, :sender, :subject, :body, :html, :basis, :mail)
on conflict (effect_id) do update set attempt = excluded.attempt, at = excluded.at, message_id = excluded.message_id,
    sender = excluded.sender, subject = excluded.subject, body = excluded.body, html = excluded.html,
    basis = excluded.basis, mail = excluded.mail

-- name: handed_over
select attempt, first_at from handed_over where effect_id = :effect_id

-- name: forget_letter
delete from handed_over where effect_id = :effect_id

-- name: edited: a message as a person wants it sent
select subject, body from approvals
where effect_id = :id and decision = 'send' and subject is not null and body is not null

-- name: tidy_handed: of letters that are over and did not arrive nothing is needed any more
delete from handed_over
where effect_id in (select id from effects where state in ('refused', 'failed', 'replaced'))

-- name: settle: it is known now that it arrived
update effects set state = 'done', finished_at = :now, reason = :reason, reference = :reference
where id = :id and state in ('sending', 'unknown')

-- name: again: it is known now that it did not arrive, or a person wants it sent again
update effects set state = 'waiting', due_at = :now, finished_at = null, asked_at = null, reason = :reason
where id = :id and state = 'unknown'

-- name: let_go
update effects set state = 'failed', finished_at = :now, reason = :reason where id = :id and state = 'unknown'

-- name: asked
update effects set asked_at = :now where id = :id and state = 'unknown'

-- name: to_ask: those of which nobody knows, so long after the try that no answer can be under way any more
select e.id, e.target, e.payload, e.sending_since, h.message_id, h.subject
from effects e left join handed_over h on h.effect_id = e.id
where e.lane = :lane and e.state = 'unknown' and e.sending_since <= :settled
    and (e.asked_at is null or (:now - e.asked_at >= :pause and :now - e.asked_at >= e.asked_at - e.sending_since))
order by e.id
limit :most

-- name: unknown
select e.id, e.lane, e.target, e.customer_id, c.name, e.play, e.sending_since, e.asked_at, e.reason, h.subject
from effects e
join customers c on c.id = e.customer_id
left join handed_over h on h.effect_id = e.id
where e.state = 'unknown'
order by e.sending_since, e.id

-- name: arrived_unkept: letters of which something told that they arrived, and that this lane has not noted as messages
select h.effect_id, e.customer_id, h.subject, h.body, h.basis, h.at, h.mail
from handed_over h
join effects e on e.id = h.effect_id
left join messages m on m.effect_id = h.effect_id
where e.lane = :lane and e.state = 'done' and (m.id is null or m.log_state = '')
order by h.effect_id

-- name: rest: the longer of two
insert into lane_rests (lane, until, reason) values (:lane, :until, :reason)
on conflict (lane) do update set until = excluded.until, reason = excluded.reason
where lane_rests.until < excluded.until

-- name: rests
select until, reason from lane_rests where lane = :lane and until > :now

-- name: keep_message
insert into messages
    (id, effect_id, customer_id, email, play, purpose, template, subject, body, basis, sent_at)
values (:id, :effect_id, :customer_id, :email, :play, :purpose, :template, :subject, :body, :basis, :sent_at)
on conflict (effect_id) do nothing

-- name: to_tell
update messages set log_state = 'waiting' where effect_id = :effect_id and log_state = ''

-- name: untold: whether the CRM's history lacks something that it is to be told
select 1 as waiting from messages
where (log_state = 'waiting' and (logged_at is null or logged_at <= :before))
    or (log_state = 'telling' and logged_at <= :stranded)
limit 1

-- name: begin_telling
update messages set log_state = 'telling', logged_at = :now
where id in (
    select id from messages
    where log_state = 'waiting' and (logged_at is null or logged_at <= :before)
    order by sent_at, id
    limit :most {skip_locked}
)
returning effect_id, email, subject, body, sent_at

-- name: told
update messages set log_state = :state, log_reason = :reason, logged_at = :now
where effect_id = :effect_id and log_state = 'telling'

-- name: telling_stranded
update messages set log_state = 'unsure', log_reason = 'interrupted while the CRM was told of it'
where log_state = 'telling' and logged_at <= :stranded

-- name: letter_kept
select sender, html, mail from handed_over where effect_id = :effect_id

-- name: links_of
select id, target from links where effect_id = :effect_id

-- name: keep_link
insert into links (id, effect_id, target, made_at) values (:id, :effect_id, :target, :now)

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
