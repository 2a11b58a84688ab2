//! Passwords: SCRAM-SHA-256, the only way to ask for one.
//!
//! The exchange is RFC 5802's and RFC 7677's, by pgwire. What is kept after start-up is the verifier: salt, stored key and server
//! key, from which the password cannot be had. There is one password for all users until there are roles.

use crate::errors::Fatal;
use crate::wire::frame::{Body, Objection, guarded};
use crate::wire::{Exit, Incoming, Wire};
use bytes::Bytes;
use pgwire::api::auth::sasl::SCRAM_SHA_256_METHOD;
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramSecret, ScramServerAuth, gen_salted_password};
use pgwire::error::PgWireError;
use pgwire::messages::PgWireFrontendMessage;
use pgwire::messages::startup::{Authentication, PasswordMessageFamily};

const SALT_BYTES: usize = 16;

/// What is needed to check a password.
pub(crate) struct PasswordVerifier {
    salt: Vec<u8>,
    iterations: usize,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl PasswordVerifier {
    pub(crate) fn new(password: &str) -> Self {
        let salt = rand::random::<[u8; SALT_BYTES]>().to_vec();
        let salted = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
        match ScramSecret::verifier_from_salted_password(salt, salted, SCRAM_ITERATIONS) {
            ScramSecret::Verifier { salt, iterations, stored_key, server_key } => {
                Self { salt, iterations, stored_key, server_key }
            }
            ScramSecret::SaltedPassword { .. } => unreachable!("a verifier was asked for"),
        }
    }

    fn secret(&self) -> ScramSecret {
        ScramSecret::Verifier {
            salt: self.salt.clone(),
            iterations: self.iterations,
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
        }
    }
}

/// Asks the client to prove that it knows the password.
pub(crate) async fn authenticate(wire: &mut Wire, verifier: &PasswordVerifier, user: &str) -> Result<(), Exit> {
    wire.put(&Authentication::SASL(vec![SCRAM_SHA_256_METHOD.to_string()]))?;
    wire.flush().await?;
    let client_first = initial_response(answer(wire).await?).map_err(Exit::Fatal)?;
    let challenge =
        guarded(|| ScramServerAuth::new().on_client_first_message_with_secret(&client_first, verifier.secret()));
    let (server_first, exchange) = judged(challenge, user)?;
    wire.put(&Authentication::SASLContinue(server_first.into()))?;
    wire.flush().await?;
    let client_final = answer(wire).await?.into_sasl_response().map_err(|_| malformed())?;
    let server_final = judged(guarded(|| exchange.on_client_final_message(&client_final.data)), user)?;
    wire.put(&Authentication::SASLFinal(server_final.into()))
}

async fn answer(wire: &mut Wire) -> Result<PasswordMessageFamily, Exit> {
    match wire.next().await? {
        Incoming::Message(PgWireFrontendMessage::PasswordMessageFamily(message)) => Ok(message),
        Incoming::Message(PgWireFrontendMessage::Terminate(_)) => Err(Exit::Terminated),
        _ => Err(Exit::Fatal(Fatal::protocol("expected SASL response"))),
    }
}

/// The client's first message, out of SASLInitialResponse: the mechanism's name, a length, and that many bytes.
fn initial_response(message: PasswordMessageFamily) -> Result<Bytes, Fatal> {
    if let PasswordMessageFamily::Raw(body) = &message {
        let mut body = Body { rest: body };
        let checked: Result<(), Objection> = body.text().and_then(|_| body.value()).and_then(|_| body.end());
        checked.map_err(|_| Fatal::protocol("malformed SCRAM message"))?;
    }
    let response = guarded(|| message.into_sasl_initial_response());
    let Some(Ok(response)) = response else {
        return Err(Fatal::protocol("malformed SCRAM message"));
    };
    if response.auth_method != SCRAM_SHA_256_METHOD {
        return Err(Fatal::protocol("client selected an invalid SASL authentication mechanism"));
    }
    response.data.ok_or_else(|| Fatal::protocol("malformed SCRAM message"))
}

fn judged<T>(outcome: Option<Result<T, PgWireError>>, user: &str) -> Result<T, Exit> {
    match outcome {
        Some(Ok(next)) => Ok(next),
        Some(Err(PgWireError::InvalidPassword(_))) => {
            Err(Exit::Fatal(Fatal::InvalidPassword { user: user.to_string() }))
        }
        Some(Err(_)) | None => Err(malformed()),
    }
}

fn malformed() -> Exit {
    Exit::Fatal(Fatal::protocol("malformed SCRAM message"))
}
