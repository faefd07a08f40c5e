-- Since when a customer who is to be read had been one, where that is told; null for what we know of it today.
alter table worklist add column since bigint;
