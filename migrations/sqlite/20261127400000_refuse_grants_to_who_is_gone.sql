-- A grant that is given while the directory ends its holder would count again with their return.
CREATE TRIGGER grants_are_for_who_is_here BEFORE INSERT ON grants
BEGIN
    SELECT RAISE(ABORT, 'wall:gone') WHERE EXISTS (SELECT 1 FROM people_ended WHERE principal = NEW.principal);
END;
