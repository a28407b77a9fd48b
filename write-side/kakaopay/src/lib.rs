//! Client of the KakaoPay online payment API; knows nothing of the shop.
