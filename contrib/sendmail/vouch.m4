dnl Sendmail asks vouch whether a recipient exists, at RCPT. Copy this file to /etc/mail/vouch.m4, and make this the last
dnl line of /etc/mail/sendmail.mc:
dnl
dnl     include(`/etc/mail/vouch.m4')dnl
dnl
dnl Sendmail must have been built with socket maps: `sendmail -d0.1 -bt </dev/null' lists SOCKETMAP. Debian's is.
dnl
dnl vouch's side, in /etc/vouch/vouch.toml; the daemon of Debian's Sendmail connects as root:
dnl
dnl     [listener."sendmail"]
dnl     protocol = "socketmap"
dnl     socket = "/run/vouch/sendmail"
dnl     mode = "0600"
dnl     directory = ["mailbox"]
dnl
dnl What to know
dnl
dnl   The names `domains' and `recipients' are sent to vouch, which has maps of these names: do not rename them.
dnl   -T<TMPF> marks a look-up that failed, also while vouch is down. Without it Sendmail would take it for "not found".
dnl   A domain that vouch does not serve is NOT-OURS, and the rest of check_rcpt decides.
dnl   Left and right side of a rule are separated by tabs: copy the file, not its text.
dnl   A Local_check_rcpt that is already there is to be merged with this one; the rules expect and return an address.
LOCAL_CONFIG
Kdomains socket -T<TMPF> unix:/run/vouch/sendmail
Krecipients socket -T<TMPF> unix:/run/vouch/sendmail

LOCAL_RULESETS
SLocal_check_rcpt
R$*			$: $>CanonAddr $1
R$+ < @ $+ . >		$: $1 < @ $2 >
R$+ < @ $+ >		$: <$(domains $2 $: NOT-OURS $)> <$1 @ $2>
R<ok> <$+>		$: <$(recipients $1 $: UNKNOWN $)> <$1>
R<$* <TMPF>> $*		$#error $@ 4.4.3 $: "451 Recipient lookup failed, try again later"
R<UNKNOWN> $*		$#error $@ 5.1.1 $: "550 User unknown"
