//! The merchant codes: KakaoPay's test codes are for a simulator, or for a test mode that was asked for
//! by name.

use service_kit::config::{ConfigError, Settings};
use url::Url;

use super::WorkerConfig;

/// Test merchant codes of KakaoPay; need no contract. With them nothing is paid, so they are a default
/// only where the gateway is a simulator on this machine.
const CID_ONE_TIME_TEST: &str = "TC0ONETIME";
const CID_RECURRING_TEST: &str = "TCSUBSCRIP";
/// How KakaoPay's test codes begin.
const CID_TEST_PREFIX: &str = "TC";

/// The codes under which money is taken.
pub(super) struct MerchantCodes {
    pub(super) one_time: String,
    pub(super) recurring: String,
    pub(super) is_test_mode: bool,
}

impl MerchantCodes {
    /// A forgotten code would mean KakaoPay's test code, which KakaoPay approves without moving money:
    /// the shop would send goods for nothing.
    pub(super) fn load(settings: &Settings<'_>, is_simulated: bool) -> Result<Self, ConfigError> {
        let is_test_mode = settings.value::<u8>("KAKAOPAY_TEST_MODE")? == 1;
        let mut faults = Vec::new();
        let mut code = |name: &'static str, test_code: &str| {
            let set = settings.optional(name).map(|code| code.trim().to_owned());
            match set {
                Some(code)
                    if code.starts_with(CID_TEST_PREFIX) && !is_simulated && !is_test_mode =>
                {
                    let expected = "expected a code of our contract; KakaoPay's test codes move no money \
                                    and need KAKAOPAY_TEST_MODE=1";
                    faults.push(ConfigError::invalid(name, expected));
                    String::new()
                }
                Some(code) => code,
                None if is_simulated => test_code.to_owned(),
                None => {
                    faults.push(ConfigError::NotSet { name: name.to_owned() });
                    String::new()
                }
            }
        };
        let one_time = code("KAKAOPAY_CID_ONE_TIME", CID_ONE_TIME_TEST);
        let recurring = code("KAKAOPAY_CID_RECURRING", CID_RECURRING_TEST);
        ConfigError::refuse(faults)?;
        Ok(Self { one_time, recurring, is_test_mode })
    }
}

impl WorkerConfig {
    /// Whether payments move no money: under a test code, which a simulator has by default, or in test
    /// mode.
    pub(crate) fn takes_test_payments(&self) -> bool {
        let codes = [&self.kakaopay_cid_one_time, &self.kakaopay_cid_recurring];
        self.is_test_mode || codes.iter().any(|code| code.starts_with(CID_TEST_PREFIX))
    }
}

pub(super) fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
