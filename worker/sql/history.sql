-- Scores, and the cards that made them, as they once were.

-- name: card_text
select body from scorecards where version = :version

-- name: score_as_of: the last by then; for the time before all of them, the first
select id, customer_id, at, version, score, band, coverage, detail, run_id
from scores
where customer_id = :customer_id
order by case when at <= :at then 0 else 1 end, case when at <= :at then -at else at end, id desc
limit 1

-- name: customer: since when, and where its days begin
select first_at, time_zone from customers where id = :id
