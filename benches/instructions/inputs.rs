//! What the steps read and judge: as Postfix and mail servers send it.

/// What Postfix sends for one recipient.
pub(crate) const REQUEST: &[u8] = b"request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
    helo_name=mail.example.net\nqueue_id=\nsender=bob@example.net\nrecipient=jane@example.org\nrecipient_count=0\n\
    client_address=192.0.2.7\nclient_name=mail.example.net\nreverse_client_name=mail.example.net\n\
    instance=1a2b.5f3c.0\nsasl_method=\nsasl_username=\nsasl_sender=\nsize=0\nccert_subject=\nccert_issuer=\n\
    ccert_fingerprint=\nencryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\n\
    encryption_keysize=256\netrn_domain=\nstress=\nccert_pubkey_fingerprint=\nclient_port=51234\n\
    policy_context=\nserver_address=198.51.100.1\nserver_port=25\ncompatibility_level=3.6\nmail_version=3.7.11\n\n";

pub(crate) const GREETING: &[u8] =
    b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN] ready\r\n";

pub(crate) const EHLO: &[u8] =
    b"250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 20480000\r\n250-STARTTLS\r\n\
    250-AUTH PLAIN LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 CHUNKING\r\n";

/// Refusals as servers word them.
pub(crate) const REFUSALS: [&str; 3] = [
    "550 5.1.1 <jane@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
    "550-Mailbox unknown.  Either there is no mailbox associated with this\r\n550-name or you do not have authorization \
     to see it.\r\n550 5.1.1 User unknown",
    "452 4.2.2 The email account that you tried to reach is over quota. Please direct the recipient to \
     https://support.example.com/mail/?p=OverQuotaTemp",
];

/// A refused login.
pub(crate) const REFUSED_LOGIN: &str = "NO [AUTHENTICATIONFAILED] Authentication failed.";
