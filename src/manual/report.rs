//! The report of `vouch status`, for people and for programs.

use super::roff::Page;
use crate::report::members;

pub(super) fn write(page: &mut Page) {
    page.section("REPORT");
    page.text(
        "`vouch status` shows, from top to bottom: what needs attention; the listeners, and the connections that were \
         refused at each; their answers by verdict, with the times within which 50, 90 and 99 % of them were given; the \
         directories, whether each answers, and the days until the server's certificate expires; the sessions with them, \
         how many in a row could not be opened (FAILED), the questions that wait for one and the size of that queue, and \
         how long the servers take; the cache, and how often it had an answer; the last failure of each directory that \
         answers again; the most frequent refusals that are not understood. All counts are since the start.",
    );
    page.text(
        "With `--json` it is one object with the members below. Members keep their name and meaning from version to \
         version; new ones may be added. A member that does not apply, or is not known yet, is `null`. Any program that may \
         use the control socket gets the same: the socket answers the line {\"ask\":\"status\"}.",
    );
    for (member, meaning) in members() {
        page.item(&format!("`{member}`"), &meaning);
    }
    memory(page);
}

fn memory(page: &mut Page) {
    page.section("CACHE");
    page.text(
        "`vouch cache list` shows for each recipient or accepted login: the age of the answer (AGE), when it is asked again \
         while it is still used (REFRESH: `due` if at the next question, `stale` if it is used only while the directory \
         gives no answer), and when it expires (ENDS). A refused login is kept as a hash only, which is never shown. With \
         `auth.forward-client`, a login is cached for one client address only, which follows its name.",
    );
    page.text(
        "With `--json` it is one object: `entries`, each with `name`, `kind` (`recipient` or `login`), `client` (the \
         address, if a login is cached for it only), `directory`, `verdict`, `cause`, `state` (`fresh`, `ageing`, \
         `stale`), and `age`, `refresh-in`, `ends-in` in seconds; how many were `found`; and `refused-logins`. `vouch \
         cache get` adds `detail`, the mail server's reply. `vouch cache purge` reports how many `recipients`, `logins` \
         and `refused-logins` were deleted, and which directories still have them in their file (`files-waiting`), for \
         example on a full disk: they are deleted from it once it can be written. With a `[fleet]` (`fleet` is true) all \
         edges delete the same; `stores-waiting` are the stores that do not know of it yet, each with its `trouble`.",
    );
}
