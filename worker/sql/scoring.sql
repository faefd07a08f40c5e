-- Station 2. The statement that reads the measures is made from the card in scoring/measures.py.

-- name: add_moment
insert into worklist (pass, customer_id, at, today) values (:pass, :customer_id, :at, :today)

-- name: end_pass
delete from worklist where pass = :pass

-- name: customers_of_pass: where no measure can be read at all
select w.customer_id, w.at, w.today, c.first_at
from worklist w
join customers c on c.id = w.customer_id
where w.pass = :pass and c.first_at <= w.at
order by w.customer_id

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

-- name: standings
select customer_id, score_id, band, since, waiting, waiting_since from standings order by customer_id

-- name: standing
select customer_id, score_id, band, since, waiting, waiting_since from standings where customer_id = :customer_id

-- name: latest_scores: the score each standing rests on
select s.id, s.customer_id, s.at, s.version, s.score, s.band, s.coverage, s.detail, s.run_id
from standings t
join scores s on s.id = t.score_id
order by s.customer_id

-- name: latest_score
select s.id, s.customer_id, s.at, s.version, s.score, s.band, s.coverage, s.detail, s.run_id
from standings t
join scores s on s.id = t.score_id
where t.customer_id = :customer_id

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
