-- What came back of the mails of each play, and who was left out of a play so that its worth can be told.

create index effects_mailed on effects (play, finished_at) where lane = 'mail' and state = 'done';

-- The first time that a play was set off for a customer while a hold-out was on; nobody ever changes arms.
create table trials (
    play text not null,
    customer_id text not null references customers (id),
    -- acted, or held: nothing was done, so that there is somebody to compare with
    arm text not null,
    at bigint not null,
    -- what set it off
    occasion text not null,
    primary key (play, customer_id)
);
