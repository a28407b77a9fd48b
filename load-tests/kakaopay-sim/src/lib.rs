//! KakaoPay with a memory, a pay page and a fault script.
