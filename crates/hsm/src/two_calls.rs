//! A signature in two PKCS#11 calls, `C_SignInit` and `C_Sign`: the fewest there are.
//!
//! cryptoki asks for the length first, which is a third round trip to a network HSM. The length is known here: 64 bytes for ECDSA on
//! P-256, 32 for HMAC-SHA256. This is the only unsafe code of the gateway.

#![allow(unsafe_code, reason = "C function pointers of the PKCS#11 module; reviewed, and nowhere else")]

use std::path::Path;
use std::ptr;

use cryptoki::context::Function;
use cryptoki::error::{Error, Rv};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session as HsmSession;
use cryptoki_sys::{
    CK_FUNCTION_LIST, CK_FUNCTION_LIST_PTR, CK_MECHANISM, CK_MECHANISM_TYPE, CK_RV, CK_SESSION_INFO, CK_ULONG,
    CKM_ECDSA, CKM_SHA256_HMAC, CKR_OK, Pkcs11,
};

/// How to sign. Neither has a parameter.
#[derive(Clone, Copy)]
pub(crate) enum Signing {
    /// ECDSA over a digest: `r || s`.
    Ecdsa,
    /// HMAC-SHA256 over a message.
    HmacSha256,
}

impl Signing {
    const fn mechanism(self) -> CK_MECHANISM_TYPE {
        match self {
            Self::Ecdsa => CKM_ECDSA,
            Self::HmacSha256 => CKM_SHA256_HMAC,
        }
    }
}

/// The module's own list of functions.
pub(crate) struct Functions {
    list: CK_FUNCTION_LIST_PTR,
    /// Keeps the library, and with it the list, where it is.
    _library: Pkcs11,
}

// SAFETY: the list is read-only data of a library that stays loaded as long as this value lives. PKCS#11 functions may be called from any
// thread once the module was initialised with CKF_OS_LOCKING_OK, which `Module::open` does.
unsafe impl Send for Functions {}
// SAFETY: as for `Send`; nothing here is ever written.
unsafe impl Sync for Functions {}

impl Functions {
    /// The list of a module. Most modules give the same one every time, so these are the functions that cryptoki calls too; ask
    /// [`Self::know`].
    pub(crate) fn of(module: &Path) -> Result<Self, Error> {
        // SAFETY: loading runs the library's initialisers, as cryptoki's own loading did a moment ago.
        let library = unsafe { Pkcs11::new(module) }.map_err(Error::LibraryLoading)?;
        let mut list: CK_FUNCTION_LIST_PTR = ptr::null_mut();
        // SAFETY: `list` is a valid place for one pointer; every PKCS#11 module exports C_GetFunctionList.
        let code = unsafe { library.C_GetFunctionList(&mut list) };
        checked(code, Function::GetFunctionList)?;
        if list.is_null() {
            return Err(Error::NullFunctionPointer);
        }
        Ok(Self { list, _library: library })
    }

    /// Whether these functions know an HSM session that cryptoki opened. Not so with `p11-kit-client.so`: each list that it gives is a
    /// module of its own, with its own connection, and this one was never initialised.
    pub(crate) fn know(&self, hsm_session: &HsmSession) -> bool {
        // SAFETY: `of` checked that the pointer is not null, and `_library` keeps what it points to loaded.
        let list: &CK_FUNCTION_LIST = unsafe { &*self.list };
        let mut info = CK_SESSION_INFO::default();
        // SAFETY: `info` is a valid place for what is written; the handle is a plain number that the module checks.
        list.C_GetSessionInfo.is_some_and(|ask| unsafe { ask(hsm_session.handle(), &mut info) } == CKR_OK)
    }

    /// Signs `data` and gives how many bytes of `signature` were written. `hsm_session` must be one of this module, with no operation under way.
    ///
    /// After an error the HSM session may be left in the middle of an operation: close it.
    pub(crate) fn sign(
        &self,
        hsm_session: &HsmSession,
        how: Signing,
        key: ObjectHandle,
        data: &[u8],
        signature: &mut [u8],
    ) -> Result<usize, Error> {
        let mut mechanism = CK_MECHANISM { mechanism: how.mechanism(), pParameter: ptr::null_mut(), ulParameterLen: 0 };
        // SAFETY: `of` checked that the pointer is not null, and `_library` keeps what it points to loaded.
        let list: &CK_FUNCTION_LIST = unsafe { &*self.list };
        let (Some(sign_init), Some(sign)) = (list.C_SignInit, list.C_Sign) else {
            return Err(Error::NullFunctionPointer);
        };
        // SAFETY: the mechanism outlives the call and has no parameter; handles are plain numbers that the module checks. The borrow of
        // `hsm_session`, which is not Sync, keeps every other thread out of it.
        let code = unsafe { sign_init(hsm_session.handle(), &mut mechanism, key.handle()) };
        checked(code, Function::SignInit)?;
        let mut length = CK_ULONG::try_from(signature.len())?;
        // SAFETY: `data` is only read (the standard's type merely lacks const), `signature` has `length` writable bytes, and `length` is
        // a valid place for the length that was written.
        let code = unsafe {
            sign(
                hsm_session.handle(),
                data.as_ptr().cast_mut(),
                CK_ULONG::try_from(data.len())?,
                signature.as_mut_ptr(),
                &mut length,
            )
        };
        checked(code, Function::Sign)?;
        Ok(usize::try_from(length)?)
    }
}

fn checked(code: CK_RV, function: Function) -> Result<(), Error> {
    match Rv::from(code) {
        Rv::Ok => Ok(()),
        Rv::Error(error) => Err(Error::Pkcs11(error, function)),
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::error::RvError;

    use super::*;

    #[test]
    fn a_code_names_its_function() {
        assert!(checked(CKR_OK, Function::Sign).is_ok());
        let refused = checked(cryptoki_sys::CKR_BUFFER_TOO_SMALL, Function::Sign);
        assert!(matches!(refused, Err(Error::Pkcs11(RvError::BufferTooSmall, Function::Sign))), "{refused:?}");
    }

    #[test]
    fn a_file_that_is_no_module_gives_an_error() {
        assert!(Functions::of(Path::new("/dev/null")).is_err());
    }
}
