-- What Slack called the account when it was linked, for whoever confirms the link. It decides nothing. Of links that were
-- made before, nobody knows it.

ALTER TABLE links ADD COLUMN slack_name TEXT;
ALTER TABLE links ADD COLUMN slack_email TEXT;

CREATE TRIGGER links_keep_what_slack_said BEFORE UPDATE ON links
BEGIN
    SELECT RAISE(ABORT, 'wall:linked')
     WHERE NEW.slack_name IS NOT OLD.slack_name
        OR NEW.slack_email IS NOT OLD.slack_email;
END;
