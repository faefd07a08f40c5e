-- What our own people are told beside single alerts.

-- The morning message of one of our people and day; '' is for customers of nobody.
create table mornings (
    who text not null,
    day bigint not null,
    -- sending, done, waiting, unknown, failed
    state text not null,
    -- what had changed by then was told
    told_at bigint not null,
    sending_since bigint not null,
    due_at bigint not null default 0,
    attempts bigint not null default 1,
    reason text,
    primary key (who, day)
);
