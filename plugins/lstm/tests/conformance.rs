//! The LSTM keeps what every model promises.

txray_conformance::model_suite!(txray_lstm::plugin);
