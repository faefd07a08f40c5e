-- Scorecards that change, and colours that others gave.

-- name: versions
select number, version, name, files, since, author, replaced from card_versions order by number

-- name: add_version
insert into card_versions (number, version, name, files, since, author, replaced)
values (:number, :version, :name, :files, :since, :author, :replaced)
on conflict (version) do nothing

-- name: rewrite_version: the same said in other words: comments, order, spaces
update card_versions set files = :files where version = :version

-- name: keep_preview
insert into previews (hash, at, days, summary) values (:hash, :now, :days, :summary)
on conflict (hash) do update set at = excluded.at, days = excluded.days, summary = excluded.summary

-- name: preview
select at, days, summary from previews where hash = :hash

-- name: give_colour
insert into given_colours (customer_id, colour, at, source) values (:customer_id, :colour, :at, :source)
on conflict (customer_id) do update set colour = excluded.colour, at = excluded.at, source = excluded.source

-- name: drop_colours
delete from given_colours

-- name: given_colours
select g.customer_id, c.name, g.colour, g.at, g.source, t.band
from given_colours g
join customers c on c.id = g.customer_id
left join standings t on t.customer_id = g.customer_id
where c.merged_into is null
order by c.name, g.customer_id

-- name: tagged
select i.customer_id, c.contact_id, c.tags from crm_contacts c
join identities i on i.id = c.identity_id
where c.source = :source and i.gone_at is null
order by c.contact_id

-- name: latest_answers
select customer_id, last_value from (
    select customer_id, last_value,
        row_number() over (partition by customer_id order by last_at desc, last_value desc) as place
    from rollup where kind = :kind
) as ranked
where place = 1
order by customer_id

-- name: begun: since when those between two ids are customers
select id, first_at from customers where id >= :first_id and id <= :last_id order by id

-- name: attributes_between
select a.customer_id, a.name, a.at, a.value, i.gone_at
from attributes a join identities i on i.id = a.identity_id
where a.customer_id >= :first_id and a.customer_id <= :last_id
order by a.customer_id, a.name, a.at, a.value
