-- Messages are looked up by what a channel tells of them.

create index effects_by_reference on effects (reference) where reference is not null;
create index effects_to on effects (target, sending_since) where lane in ('mail', 'sms');
create index effects_in_doubt on effects (id) where state = 'unknown';
