-- Each time a play was set off for a customer, whether or not it could act: an occasion is dealt with once.
create table firings (
    customer_id text not null references customers (id),
    play text not null,
    occasion text not null,
    at bigint not null,
    primary key (customer_id, play, occasion)
);
create index firings_by_time on firings (play, at);

-- Refusals are counted by rule, and by effect where something waits.
create index refusals_by_time on refusals (at);
create index refusals_of_effect on refusals (effect_id);
