-- Station 2. The statement that reads the measures is made from the card in scoring/asking.py.

-- name: add_moment
insert into worklist (pass, customer_id, at, today, since) values (:pass, :customer_id, :at, :today, :since)

-- name: end_pass
delete from worklist where pass = :pass

-- name: cut_days: sets apart whoever has facts later on the day of the moment, whose day the roll-up knows only whole
update worklist set pass = :cut
where pass = :pass and exists (
    select 1 from facts f where f.customer_id = worklist.customer_id and f.day = worklist.today and f.at > worklist.at
)

-- name: customer_by_identity
select customer_id from identities where source = :source and external_id = :external_id

-- name: names
select id, name from customers where name <> '' and merged_into is null order by id

-- name: people_of: the identities that name a person, and that were there at the moment
select i.id from identities i
where i.customer_id = :customer_id and i.at <= :at and (i.gone_at is null or i.gone_at > :at)
    and exists (select 1 from people p where p.identity_id = i.id)
order by i.id

-- name: put_card
insert into scorecards (version, name, body, since) values (:version, :name, :body, :since)
on conflict (version) do nothing

-- name: add_score
insert into scores (id, customer_id, at, version, score, band, coverage, detail, run_id)
values (:id, :customer_id, :at, :version, :score, :band, :coverage, :detail, :run_id)

-- name: begin_standing
insert into standings (customer_id, score_id, band, since, waiting, waiting_since)
values (:customer_id, :score_id, :band, :since, :waiting, :waiting_since)
on conflict (customer_id) do nothing

-- name: move_standing: guarded by the band it was decided from; where another pass was quicker it touches nothing
update standings
set score_id = :score_id, band = :band, since = :since, waiting = :waiting, waiting_since = :waiting_since
where customer_id = :customer_id and band = :old_band

-- name: add_change
insert into changes (id, customer_id, at, old_band, new_band, score_id, version, why)
values (:id, :customer_id, :at, :old_band, :new_band, :score_id, :version, :why)

-- name: standings: whose is said behind it
select t.customer_id, t.score_id, t.band, t.since, t.waiting, t.waiting_since
from standings t

-- name: latest_scores: the score each standing rests on; whose is said behind it
select s.id, s.customer_id, s.at, s.version, s.score, s.band, s.coverage, s.detail, s.run_id
from standings t
join scores s on s.id = t.score_id

-- name: history
select id, customer_id, at, version, score, band, coverage, detail, run_id
from scores
where customer_id = :customer_id
order by at, id

-- name: changes_of
select id, customer_id, at, old_band, new_band, score_id, version, why
from changes
where customer_id = :customer_id
order by at, id
